"""Everything that the stand-in knows: objects by kind in the order of their making, its clock.

Objects are plain JSON, as the API shows them with every expandable list inside; what must not be
seen (how a card behaves) is kept beside them. Promises ids that never repeat.
"""

import copy
import secrets
import string
import time
from collections.abc import Callable, Iterable

from tests.stripe_standin.errors import Obj, missing

_LETTERS = string.ascii_letters + string.digits
# What an endpoint of today is sent: the version that the library in use was made for.
API_VERSION = "2026-10-28.endive"
# Only there when a request expands them.
HIDDEN = {
    "checkout.session": ("line_items",),
    "charge": ("refunds",),
    "invoice": ("payments",),
}


class World:
    """The tables, the clock, and the record of what happened."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Obj]] = {}
        # Kinds by id: an id alone says which object it names, as expansion needs it.
        self.kinds: dict[str, str] = {}
        self.behaviour: dict[str, str] = {}
        self.offset_s = 0
        self.base_url = ""
        self.api_version = API_VERSION
        # Whether an invoice comes only when it is issued by hand, after everything else.
        self.invoices_late = False
        self.on_event: Callable[[Obj], None] | None = None
        self.request_id: str | None = None
        self.idempotency_key: str | None = None

    def now(self) -> int:
        """Seconds since 1970, as moved by `advance`."""
        return int(time.time()) + self.offset_s

    def new_id(self, prefix: str) -> str:
        """An id that looks like the real ones."""
        return prefix + "_" + "".join(secrets.choice(_LETTERS) for _ in range(24))

    def add(self, thing: Obj) -> Obj:
        """Keep a new object."""
        self.tables.setdefault(thing["object"], {})[thing["id"]] = thing
        self.kinds[thing["id"]] = thing["object"]
        return thing

    def all(self, kind: str) -> list[Obj]:
        """Newest first, as every list of the API is."""
        return list(reversed(self.tables.get(kind, {}).values()))

    def find(self, name: str | None) -> Obj | None:
        """The object with this id, whatever its kind."""
        kind = self.kinds.get(name) if name else None
        return self.tables[kind][name] if kind and name else None

    def get(self, kind: str, name: str, *, param: str = "id", status: int = 404) -> Obj:
        """The object; ApiError when there is none."""
        found = self.tables.get(kind, {}).get(name)
        if found is None:
            raise missing(kind.replace("checkout.", "checkout "), name, param=param, status=status)
        return found

    def named(self, kind: str, name: str, param: str) -> Obj:
        """The object that a parameter names."""
        return self.get(kind, name, param=param, status=400)

    def emit(self, kind: str, thing: Obj, *, previous: Obj | None = None) -> Obj:
        """Record an event with the object as it is now, and hand it to the courier."""
        data: Obj = {"object": for_version(self.show(thing), self)}
        if previous is not None:
            data["previous_attributes"] = previous
        event: Obj = {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": self.api_version,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
            "type": kind,
        }
        self.add(event)
        if self.on_event is not None:
            self.on_event(event)
        return event

    def show(self, thing: Obj, paths: Iterable[str] = ()) -> Obj:
        """A copy as the API answers it, with what `expand` asks for."""
        wanted = [path for path in paths if path]
        # A name with an underscore is a note of ours.
        kept = {name: value for name, value in thing.items() if not name.startswith("_")}
        shown = copy.deepcopy(kept)
        for name in HIDDEN.get(str(thing.get("object")), ()):
            if not any(path.split(".")[0] == name for path in wanted):
                shown.pop(name, None)
        for name in dict.fromkeys(path.split(".")[0] for path in wanted):
            rest = [path.partition(".")[2] for path in wanted if path.split(".")[0] == name]
            if name in shown:
                shown[name] = self._expanded(shown[name], rest)
        return shown

    def _expanded(self, value: object, rest: list[str]) -> object:
        if isinstance(value, str):
            found = self.find(value)
            return value if found is None else self.show(found, rest)
        if isinstance(value, list):
            return [self._expanded(one, rest) for one in value]
        if isinstance(value, dict):
            return self.show(value, rest)
        return value


def for_version(shown: Obj, world: World) -> Obj:
    """The object as an endpoint with an older version is sent it: fields that moved since."""
    if world.api_version >= "2022-11-15":
        return shown
    if shown["object"] == "payment_intent":
        latest = world.find(shown.pop("latest_charge"))
        charges = [latest] if latest else []
        shown["charges"] = {"object": "list", "data": charges, "has_more": False}
    return shown
