"""Letters: sign-in links and alerts, handed to a mail server in a thread, a few at a time.

Refuses a password or a link in clear text over a network, unless the operator says so.
"""

import asyncio
import logging
import smtplib
import ssl
from email.message import EmailMessage
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from gateway.errors import Fault
from gateway.knob_readers import is_loopback

_LOG = logging.getLogger("sluice.web")
_DEADLINE_S: Final = 10.0
_AT_ONCE: Final = 4
_MOST_WAITING: Final = 50
_PORTS: Final = {"smtp": 587, "smtps": 465}


class MailUnavailable(Fault):
    """The mail server did not take the letter."""


class Letters(Protocol):
    """By which letters go out."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Raises MailUnavailable."""


class LogLetters:
    """On a developer's machine: what a letter says stands in the log."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """One log entry."""
        _LOG.warning("a letter to %s: %s\n%s", to, subject, text)


class SmtpLetters:
    """Through the mail server of the settings."""

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._implicit_tls = parts.scheme == "smtps"
        self._port = parts.port or _PORTS[parts.scheme]
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._may_be_clear = is_loopback(self._host) or parts.query == "tls=no"
        self._sender = sender
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand the letter over; an address that the server refuses is only logged."""
        if self._waiting >= _MOST_WAITING:
            raise MailUnavailable("too many letters wait")
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = to
        message["Subject"] = subject
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        self._waiting += 1
        try:
            async with self._room:
                await asyncio.to_thread(self._deliver, message)
        except smtplib.SMTPRecipientsRefused:
            _LOG.warning("the mail server refuses an address")
        except (smtplib.SMTPException, OSError) as error:
            raise MailUnavailable(f"{self._host}: {type(error).__name__}") from error
        finally:
            self._waiting -= 1

    def _deliver(self, message: EmailMessage) -> None:
        with self._connected() as server:
            if self._user:
                server.login(self._user, self._password)
            server.send_message(message)

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._implicit_tls:
            return smtplib.SMTP_SSL(self._host, self._port, timeout=_DEADLINE_S, context=context)
        server = smtplib.SMTP(self._host, self._port, timeout=_DEADLINE_S)
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=context)
        elif not self._may_be_clear:
            server.close()
            raise smtplib.SMTPNotSupportedError("no STARTTLS")
        return server
