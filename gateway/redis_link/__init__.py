"""Redis by hand: one write per loop tick, replies in order, a deadline on everything.

Sole importer of hiredis. redis-py is not used: its command path costs more than a whole admission.

    wire        commands as bytes, slots, scripts, URLs
    answer      the future of one command
    doubts      whether a server that was away is believed again at once
    connection  one socket: writes, replies in order, the deadline
    node        one server: connect, greet, load scripts, breaker
    link        one server or a cluster
"""

from gateway.redis_link.answer import Answer, Plain, Reply
from gateway.redis_link.link import RedisLink
from gateway.redis_link.node import Node
from gateway.redis_link.wire import Script, crc16, encode, read_url, slot_of

__all__ = [
    "Answer",
    "Node",
    "Plain",
    "RedisLink",
    "Reply",
    "Script",
    "crc16",
    "encode",
    "read_url",
    "slot_of",
]
