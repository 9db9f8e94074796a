"""`make mutants`: named flips of the product, each of which the seeds of every build must notice.

Each changes exactly one place of a copy of the tree (a text that is not there, or there twice, is a
failure of this table), and the seeds run on the copy until one breaks. Refuses to pass with more
than one flip that nothing notices.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.seeds import SEEDS

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "ops" / "bench" / "mutants.md"
MAY_SURVIVE = 1


@dataclass(frozen=True, slots=True)
class Flip:
    """`old` stands once in `file` and becomes `new`."""

    name: str
    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """In this tree; AssertionError where the text is not there exactly once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.name}: {text.count(self.old)} places, not one"
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


_A, _E, _M = "gateway/admission", "gateway/edge", "gateway/metering"
FLIPS = (
    Flip(
        "one more than the limit fits",
        f"{_A}/window.lua",
        "if excess <= 0 then return 0 end",
        "if excess <= 1 then return 0 end",
    ),
    Flip("a window of 59 s", f"{_A}/window.lua", "local W = 60000000", "local W = 59000000"),
    Flip(
        "requests are counted against the limit of tokens",
        f"{_A}/decide.lua",
        "local wait_requests = wait_us(requests, 1, rpm_limit)",
        "local wait_requests = wait_us(requests, 1, tpm_limit or rpm_limit)",
    ),
    Flip(
        "the whole balance cannot be held",
        f"{_A}/decide.lua",
        "if keyed and hold > 0 and available < hold then",
        "if keyed and hold > 0 and available <= hold then",
    ),
    Flip(
        "one open request too many",
        f"{_A}/decide.lua",
        "if tonumber(held[3] or 0) >= open_limit then",
        "if tonumber(held[3] or 0) > open_limit then",
    ),
    Flip(
        "one id is admitted twice",
        f"{_A}/decide.lua",
        "if held[1] then return answer(HELD, 0, available) end",
        "if false then return answer(HELD, 0, available) end",
    ),
    Flip(
        "an older balance replaces a newer one",
        f"{_A}/settle.lua",
        "if version > have then",
        "if version >= 0 then",
    ),
    Flip(
        "a settled hold stays in the sum",
        f"{_A}/settle.lua",
        "add_held(KEYS[1], -hold)",
        "add_held(KEYS[1], 0)",
    ),
    Flip(
        "a newer balance lifts a tombstone",
        f"{_A}/settle.lua",
        "if status ~= 'revoked' then",
        "if status == 'revoked' then",
    ),
    Flip(
        "tokens that were not used are not given back to the window",
        f"{_A}/shadow.lua",
        "if tpm ~= actual then amend(window, entry, actual - tpm) end",
        "if tpm < actual then amend(window, entry, actual - tpm) end",
    ),
    Flip(
        "the place of a decided request stays taken",
        f"{_A}/shadow.lua",
        "if not ended then free_place(holds, product) end",
        "if ended then free_place(holds, product) end",
    ),
    Flip(
        "a hold grows and its sum does not",
        f"{_A}/extend.lua",
        "add_held(KEYS[1], more)",
        "add_held(KEYS[1], 0)",
    ),
    Flip(
        "void for charge and charge for void",
        f"{_M}/meter.py",
        "CHARGE if charged else VOID",
        "VOID if charged else CHARGE",
    ),
    Flip(
        "the last byte goes before the outcome is durable",
        f"{_M}/meter.py",
        "            await durable\n        except",
        "            await asyncio.sleep(0)\n        except",
    ),
    Flip(
        "groups are written and not synced",
        f"{_M}/spool_writer.py",
        "lasting = bool(events) or self._offset == 0",
        "lasting = False",
    ),
    Flip(
        "a number is given back twice",
        f"{_M}/numbers.py",
        "        heappush(self._free, number)",
        "        heappush(self._free, number)\n        heappush(self._free, number)",
    ),
    Flip(
        "who lives is taken for dead",
        f"{_M}/spool_files.py",
        "        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n        # Whoever",
        "        # Whoever",
    ),
    Flip(
        "holds are voided before their spool is drained",
        f"{_M}/reaper.py",
        "or hold.instance in drained:",
        "or hold.instance not in drained:",
    ),
    Flip(
        "marks of delivery are not read",
        f"{_M}/adopt.py",
        "            requests.pop(number, None)",
        "            requests.get(number)",
    ),
    Flip(
        "what was not delivered is kept",
        f"{_E}/pipeline.py",
        "            meter.undelivered(passage)",
        "            meter.delivered(passage)",
    ),
    Flip(
        "the outbox is cleared and not brought",
        f"{_M}/outbox.py",
        "        if rows:\n            await self._gate.settle((), rows, memory)",
        "        if rows:",
    ),
    Flip(
        "what Redis did not take is not told again",
        f"{_M}/shipper.py",
        "        if not self._unsettled or now_s < self._settle_again_s:",
        "        if self._unsettled or now_s < self._settle_again_s:",
    ),
    Flip(
        "holds are not put back into an emptied Redis",
        f"{_M}/pulse.py",
        "(self._begun and not known) or restarts != self._seen_restarts",
        "(self._begun and not known) and restarts == self._seen_restarts",
    ),
    Flip(
        "who beats is taken for silent",
        f"{_A}/orphans.py",
        "for name, beat in beats.items() if beat == 0",
        "for name, beat in beats.items() if beat != 0",
    ),
    Flip(
        "a number is given back though Redis may hold its request",
        f"{_E}/deciding.py",
        "passage.unsure |= sent",
        "passage.unsure &= sent",
    ),
)


@dataclass(frozen=True, slots=True)
class Found:
    """Which seed noticed a flip, by which invariant, and how many seeds that took."""

    flip: Flip
    seed: int | None
    broken: str
    tried: int


def copy_tree(into: Path) -> None:
    """As much of the tree as a run needs."""
    for folder in ("gateway", "sql", "tests/simulation"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, into / folder, ignore=ignored)
    (into / "tests" / "__init__.py").write_text('"""A copy."""\n')


def notice(flip: Flip, socket: str, seeds: int = SEEDS, first: int = 0) -> Found:
    """Run seeds on a copy of the tree with this flip until one of them breaks."""
    with tempfile.TemporaryDirectory(prefix="sluice-flip-") as folder:
        root = Path(folder)
        copy_tree(root)
        flip.apply(root)
        command = [sys.executable, "-m", "tests.simulation.until", socket, str(first), str(seeds)]
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=3600
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        return Found(flip, told["seed"], told["broken"], told["tried"])
