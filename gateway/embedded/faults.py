"""What goes wrong with an embedded server: each message is one sentence that says what to do.

Fault
└── EmbeddedFault
    ├── FolderInUse       another living process owns the folder
    └── ServerDied        a child ended while it was needed
"""

from gateway.errors import Fault


class EmbeddedFault(Fault):
    """An embedded server cannot run here."""


class FolderInUse(EmbeddedFault):
    """The folder belongs to another living process: `owner`, 0 where that is not known."""

    def __init__(self, text: str, owner: int = 0) -> None:
        super().__init__(text)
        self.owner = owner


class ServerDied(EmbeddedFault):
    """The server ended before it was ready."""
