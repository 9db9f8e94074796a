"""Every row of the table of who pays (money-and-limits, section 5), seen from outside."""

from tests.edge.door import Door, Key
from tests.edge.paying import Cost, embed, paid
from tests.edge.stub import Stub, Turn, used


async def test_usage_of_a_header_is_charged(door: Door, key: Key, embeddings: Stub) -> None:
    reply = await embed(door, key)
    assert (reply.status, reply["x-usage-tokens"]) == (200, "7")
    await paid(door, key, reply.request_id, Cost("complete", 7, 7, 7, "reported", 200))


async def test_usage_of_json_is_charged(door: Door, key: Key, embeddings: Stub) -> None:
    async def script(turn: Turn) -> None:
        await turn.reply(used(19))

    embeddings.script = script
    reply = await embed(door, key)
    assert (reply.status, reply["x-usage-tokens"], reply.body) == (200, "19", used(19))
    await paid(door, key, reply.request_id, Cost("complete", 19, 19, 19, "reported", 200))
