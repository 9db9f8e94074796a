"""The admin calls about the catalogue: which version is in force where, and to look now.

Refuses to take a catalogue over the wire: it is a file of the machine, `sluice limits apply` puts
one there.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.control.call import Reply
from gateway.control.reload import Holder, Reload, document
from gateway.errors import Problem

# All processes look at the file by themselves within a second, and tell their version after that.
_FOLLOW_S: Final = 5.0
_LOOK_S: Final = 0.1


class AdminCatalogue:
    """The handlers; each takes path parameters, query and JSON body."""

    def __init__(self, reload: Reload, held: Callable[[], Sequence[Holder]]) -> None:
        self._reload = reload
        self._held = held

    async def show(self, _path: Any, _query: Any, _body: Any) -> Reply | Problem:
        """The version of each process, and why the file is not in force if it is not."""
        return Reply(200, self._document())

    async def reload(self, _path: Any, _query: Any, body: Any) -> Reply | Problem:
        """Look now; answers when every process of this machine has it, or after 5 s without."""
        if body not in ({}, None):
            return Problem("INPUT_INVALID", 400, "This call takes no body")
        if self._reload.path is None:
            return Problem(
                "CATALOGUE_REFUSED",
                409,
                "The catalogue is the built-in one: name a file in SLUICE_PRODUCTS and restart",
            )
        await self._reload.look(at_once=True)
        if self._reload.mistakes:
            more = {"mistakes": len(self._reload.mistakes)}
            return Problem("CATALOGUE_REFUSED", 409, "; ".join(self._reload.mistakes), fields=more)
        end_s = asyncio.get_running_loop().time() + _FOLLOW_S
        while not self._document()["everywhere"]:
            if asyncio.get_running_loop().time() > end_s:
                break
            await asyncio.sleep(_LOOK_S)
        return Reply(200, self._document())

    def _document(self) -> Mapping[str, Any]:
        found = document(self._reload.offer, self._reload.mistakes, self._held())
        path = self._reload.path
        return {"file": None if path is None else str(path), **found}
