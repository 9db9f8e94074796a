"""Outages of the API on command: refused, slow, hanging, or done and the answer lost."""

from dataclasses import dataclass, field
from fnmatch import fnmatch

from tests.stripe_standin.errors import ApiError, Obj

# Before the work: an error of that status; no answer; late. After the work: the answer is lost.
STATUS, DROP, SLOW, LOSE_ANSWER = "status", "drop", "slow", "lose_answer"
# In the midst of it: nothing comes of it, and the idempotency key answers that error from then on.
BREAK = "break"
KINDS = (STATUS, DROP, SLOW, LOSE_ANSWER, BREAK)


@dataclass(slots=True)
class Fault:
    """What goes wrong with requests to `path` (a pattern); `times` None: until it is cleared."""

    kind: str
    path: str = "*"
    method: str = "*"
    status: int = 503
    seconds: float = 0.0
    times: int | None = None


@dataclass(slots=True)
class Faults:
    """The outages that are on."""

    on: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """From now on."""
        self.on.append(fault)

    def clear(self) -> None:
        """All is well again."""
        self.on.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """What goes wrong with this request."""
        for fault in self.on:
            if fnmatch(path, fault.path) and fnmatch(method, fault.method):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.on.remove(fault)
                return fault
        return None


def refusal(status: int, *, executed: bool = False) -> ApiError:
    """The error of an API that is not well."""
    if status == 429:
        return ApiError(429, "Request rate limit exceeded.", code="rate_limit")
    if status == 401:
        return ApiError(401, "Invalid API Key provided: sk_test_****")
    if status == 403:
        return ApiError(403, "The provided key does not have the required permissions.")
    if status < 500:
        return ApiError(status, "Refused on command.")
    told = "Sorry! There was an error while talking to one of our backends."
    return ApiError(status, told, kind="api_error", executed=executed)


@dataclass(slots=True)
class Kept:
    """What an idempotency key stands for: the request, and its answer when it has one."""

    method: str
    path: str
    params: Obj
    request_id: str
    answer: tuple[int, Obj] | None = None


@dataclass(slots=True)
class Idempotency:
    """Answers by key, as long as the stand-in runs."""

    kept: dict[str, Kept] = field(default_factory=dict)

    def begin(self, key: str, asked: Kept) -> Kept | None:
        """None: go on. A Kept with an answer: answer that. ApiError: it cannot be asked so."""
        before = self.kept.get(key)
        if before is None:
            self.kept[key] = asked
            return None
        if (before.method, before.path) != (asked.method, asked.path):
            told = "Keys for idempotent requests can only be used for the same endpoint they were "
            told += f"first used for ('{asked.path}' vs '{before.path}'). Try using a key other "
            told += f"than '{key}' if you meant to execute a different request."
            raise ApiError(400, told, kind="idempotency_error")
        if before.params != asked.params:
            told = "Keys for idempotent requests can only be used with the same parameters they "
            told += f"were first used with. Try using a key other than '{key}' if you meant to "
            told += "execute a different request."
            raise ApiError(400, told, kind="idempotency_error")
        if before.answer is None:
            told = "There is currently another in-progress request using this Idempotent Key "
            told += f"(that probably means you submitted twice): {key}. Please try again later."
            raise ApiError(409, told, kind="idempotency_error", code="idempotency_key_in_use")
        return before

    def forget(self, key: str) -> None:
        """Nothing was executed: the key is free again."""
        self.kept.pop(key, None)
