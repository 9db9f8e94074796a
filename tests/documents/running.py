"""`sluice up` beside the stand-in for Stripe, and keys on it whose limits nobody reaches."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.commands.sluice import up

PATIENCE_S = 60
WIDE = {"rpm": 100_000, "tpm": 10**12, "concurrency": 1_000}
_PAGE = re.compile(r"/r/(http://\S+?/)'")


@dataclass(frozen=True)
class Running:
    """A gateway that runs; `page` is one that its reader may read."""

    base: str
    ops: str
    token: str
    page: str

    def wide_key(self) -> str:
        """A fresh premium key with wide limits."""
        made = requests.post(f"{self.base}/v1/keys", timeout=PATIENCE_S).json()
        key, key_id = str(made["api_key"]), made["key_id"]
        owner = {"Authorization": f"Bearer {key}"}
        shown = requests.get(f"{self.base}/v1/keys/me", headers=owner, timeout=PATIENCE_S).json()
        credit = {"tokens": 10**12, "bucket": "paid", "ref": key_id}
        self._admin("POST", f"{key_id}/credit", credit)
        self._admin("PUT", f"{key_id}/limits", dict.fromkeys(shown["limits"], WIDE))
        return key

    def _admin(self, method: str, path: str, body: Any) -> None:
        told = requests.request(
            method,
            f"{self.ops}/admin/keys/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=PATIENCE_S,
        )
        assert told.status_code == 200, told.text


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """Everything, on free ports, until the block ends."""
    more = {"KEYS_PER_ADDRESS": "1000000", "SECURITY_CONTACT": "mailto:us@example.org"}
    with up(folder, env=more, words=("tests.stripe_standin.up",)) as started:
        page = _PAGE.search("\n".join(started.lines))
        assert page is not None, started.lines
        token = (folder / "admin-token").read_text(encoding="utf-8").strip()
        yield Running(started.door, f"http://127.0.0.1:{started.ops_port}", token, page[1])
        assert started.stop() == 0
