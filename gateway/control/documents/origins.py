"""The addresses of this deployment as whoever asks reaches them.

Refuses to show a Host header that is no host: then it is the domain of the settings.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_HOST: Final = re.compile(
    r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?"
)
LABELS: Final = ("api", "r", "s", "deepsearch", "dash", "segment")
_ALIASES: Final = {"embeddings-dashboard-api": "dash"}


@dataclass(frozen=True, slots=True)
class Origins:
    """`root` is host and port without a label of ours; `named`: it was asked by a label."""

    scheme: str
    root: str
    named: bool

    @property
    def bare(self) -> str:
        """Where everything is by path."""
        return f"{self.scheme}://{self.root}"

    def of(self, labels: Sequence[str]) -> list[str]:
        """Where an operation is."""
        if not self.named:
            return [self.bare]
        return [f"{self.scheme}://{label}.{self.root}" for label in labels]


def origins_of(host: str, domain: str, *, secure: bool) -> Origins:
    """From the Host header; `domain` is that of the settings."""
    scheme = "https" if secure else "http"
    if not _HOST.fullmatch(host):
        return Origins(scheme, domain, named=False)
    host = host.lower()
    label, dot, rest = host.partition(".")
    label = _ALIASES.get(label, label)
    is_domain = host.partition(":")[0] == domain.lower()
    if dot and label in LABELS and rest and not is_domain and not _is_address(host):
        return Origins(scheme, rest, named=True)
    return Origins(scheme, host, named=False)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.rpartition(":")[0] or host)
    except ValueError:
        return False
    return True
