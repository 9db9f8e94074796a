"""A mail server on a real socket: it keeps what it is given."""

import asyncio
import email
import email.policy
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage

_LINK = re.compile(r"(https?://\S+)/sign-in#([0-9a-f]{64})")


@dataclass
class Mailbox:
    """What came, and how the next letters are treated."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refuses: bool = False
    is_away: bool = False

    @property
    def url(self) -> str:
        """For SLUICE_SMTP_URL."""
        return f"smtp://127.0.0.1:{self.port}"

    def link(self) -> tuple[str, str]:
        """Origin and ticket of the newest letter."""
        found = _LINK.search(self.letters[-1].get_content())
        assert found is not None, self.letters[-1]
        return found[1], found[2]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_away:
            writer.close()
            return
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode("latin-1").strip():
            word = line[:4].upper()
            if word == "DATA":
                writer.write(b"354 go on\r\n")
                raw = await reader.readuntil(b"\r\n.\r\n")
                parsed = email.message_from_bytes(raw[:-3], policy=email.policy.default)
                self.letters.append(parsed)
                writer.write(b"250 taken\r\n")
            elif word == "RCPT" and self.refuses:
                writer.write(b"550 nobody of that name\r\n")
            elif word == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                if word == "RCPT":
                    self.recipients.append(line[8:].strip("<> "))
                writer.write(b"250 fine\r\n")
        writer.close()


@asynccontextmanager
async def mail_server() -> AsyncIterator[Mailbox]:
    """Open while the context is."""
    box = Mailbox()
    server = await asyncio.start_server(box._serve, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
