"""Words for what goes wrong: a Problem is an expected refusal, a Fault a broken dependency.

    Fault
    ├── ConfigurationFault     the settings or the catalogue are wrong; lists every mistake
    ├── RedisUnavailable       no answer within the deadline, or no connection
    │   └── StoresUnavailable      PostgreSQL, which would stand in for it, does not answer either
    ├── PostgresUnavailable    no answer within the deadline, or no connection
    ├── SpoolUnavailable       the disk did not take an outcome
    └── ServiceFault           an internal service failed before or within its answer
        ├── ServiceUnreachable     no connection
        ├── ServiceTimeout         slower than the product's deadline
        ├── AnswerBroken           cut, or not HTTP/1.1
        └── StaleConnection        a pooled connection had ended; worth one more try

A Problem is a value that is returned; a Fault is raised. A bug is an assertion, never one of these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """An expected refusal, told to the client in the envelope of the host it asked.

    `code` is stable and UPPER_SNAKE, `status` the HTTP status, `detail` one public sentence.
    `retry_after_ms` is exact; None means that waiting does not help.
    `fields` are extra facts (integers and short strings) for the body.
    """

    code: str
    status: int
    detail: str
    retry_after_ms: int | None = None
    fields: Mapping[str, int | str] = field(default_factory=dict)
    allow: str | None = None


class Fault(Exception):
    """A dependency is broken."""


class ConfigurationFault(Fault):
    """The configuration has mistakes."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)


class RedisUnavailable(Fault):
    """Redis did not answer in time."""


class StoresUnavailable(RedisUnavailable):
    """Neither Redis nor PostgreSQL answered in time."""


class PostgresUnavailable(Fault):
    """PostgreSQL did not answer in time."""


class SpoolUnavailable(Fault):
    """The spool could not make an outcome durable."""


class ServiceFault(Fault):
    """An internal service failed before or within its answer."""


class ServiceUnreachable(ServiceFault):
    """No connection to the service could be made in time."""


class ServiceTimeout(ServiceFault):
    """The service was slower than the product's deadline."""


class AnswerBroken(ServiceFault):
    """The service's bytes are not a whole HTTP/1.1 answer."""


class StaleConnection(ServiceFault):
    """A pooled connection had ended before the first byte of an answer."""
