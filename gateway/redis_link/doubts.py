"""Whether servers that were away are doubted: in their absence others may have changed the facts
that they keep copies of. Refuses to know what is to be done about it: `RedisLink.doubted` tells.
"""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Doubts:
    """Of one link. `returned` is set when one that is doubted is there again."""

    wanted: bool = False
    returned: asyncio.Event = field(default_factory=asyncio.Event)
