"""Services of a few words: what each of them answers, whatever it is asked."""

from tests.edge.stub import JSON, Script, Turn

TEXT = "text/plain; charset=utf-8"
HEADER = [("x-usage-tokens", "7")]
# More than is read whole before it is sent on.
LARGE = 300_000


def answering(
    body: bytes,
    headers: list[tuple[str, str]] | None = None,
    *,
    status: int = 200,
    kind: str = JSON,
) -> Script:
    """A service that always says this."""

    async def script(turn: Turn) -> None:
        await turn.reply(body, status=status, headers=headers or [], kind=kind)

    return script


def chunked(
    pieces: list[bytes], *, kind: str = JSON, trailers: list[tuple[str, str]] | None = None
) -> Script:
    """A service that says this in chunks."""

    async def script(turn: Turn) -> None:
        await turn.begin(kind=kind)
        for piece in pieces:
            await turn.chunk(piece)
        await turn.end(trailers or [])

    return script


def raw(*pieces: bytes) -> Script:
    """A service that sends these bytes and closes."""

    async def script(turn: Turn) -> None:
        await turn.read_body()
        for piece in pieces:
            await turn.send(piece)
        turn.writer.close()
        await turn.writer.wait_closed()

    return script


def large(usage: bytes, behind: bytes = b"") -> bytes:
    """A JSON document too large to be read whole, its usage in front or behind."""
    return b'{%b"data": "%b"%b}' % (usage, b"x" * LARGE, behind)
