"""`make nodes`: many nodes on one machine, and the proof of each promise; see ops/bench/nodes.md.

    python -m ops.nodes [--only upgrade,limits,...] [--to FILE] [--tree]

What is proven is HEAD, so that nobody's half-written file is in it; with --tree the files as they
are.

Needs root. Everything lives in namespaces of its own (processes, mounts, networks) and in memory:
when this process ends, however it ends, the kernel takes all of it away. The only thing that
leaves them is the report.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import uvloop

from ops.nodes.packages import ROOT, redis_program
from ops.nodes.run import PROOFS, inside

MOST_S = 720
_REPORT = ROOT / "ops" / "bench" / "nodes.md"
_MOUNTS = ("/mnt", "/media", "/srv")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PROOFS), help="names with commas")
    parser.add_argument("--to", type=Path, default=_REPORT)
    parser.add_argument("--earlier", default="", help="the commit to upgrade from")
    parser.add_argument("--tree", action="store_true", help="the files as they are, not HEAD")
    parser.add_argument("--repository", type=Path, help="where the history is")
    for name in ("--mount", "--folder"):
        parser.add_argument(name, type=Path, help="(internal)")
    return parser.parse_args()


def _stop(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _outside(given: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise SystemExit("make nodes: needs root, for its network namespaces")
    for tool in ("ip", "unshare", "setpriv", "git"):
        if shutil.which(tool) is None:
            raise SystemExit(f"make nodes: there is no {tool} here (iproute2, util-linux, git)")
    # Before the namespaces: inside there is no way out of this machine.
    redis_program(given.repository or ROOT)
    folder = next((f for f in map(Path, _MOUNTS) if f.is_dir() and not any(f.iterdir())), None)
    if folder is None:
        raise SystemExit(f"make nodes: one of {', '.join(_MOUNTS)} must be an empty folder")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    # Killed with us, and with it the first process of the namespace, and so all of them.
    own = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork"]
    own += ["--mount-proc", "--kill-child=KILL", sys.executable, "-m", "ops.nodes"]
    own += [*sys.argv[1:], "--mount", str(folder), "--repository", str(given.repository or ROOT)]
    child = subprocess.Popen(own, cwd=ROOT)  # noqa: S603 - our own argv
    try:
        return child.wait(MOST_S)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"not done after {MOST_S} s: ended\n")
        return 1
    finally:
        child.kill()
        child.wait()


def _prepare(folder: Path, given: argparse.Namespace) -> int:
    """Memory for everything; then go on as the version that is committed, whoever edits it now."""
    Path("/run/netns").mkdir(exist_ok=True)
    for target, size in ((folder, "4g"), (Path("/run/netns"), "1m")):
        _do("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", str(target))
    version = folder / "version"
    if given.tree:
        shutil.copytree(ROOT, version, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    else:
        version.mkdir()
        archive = folder / "version.tar"
        _do("git", "-C", str(given.repository), "archive", "-o", str(archive), "HEAD")
        shutil.unpack_archive(archive, version, filter="data")
        archive.unlink()
    words = ["-m", "ops.nodes", *sys.argv[1:], "--to", str(given.to.absolute())]
    words += ["--folder", str(folder)]
    os.chdir(version)
    environment = {**os.environ, "PYTHONPATH": str(version)}
    os.execve(sys.executable, [sys.executable, *words], environment)  # noqa: S606 - our own argv


def _do(*words: str) -> None:
    subprocess.run(words, check=True)  # noqa: S603 - our own argv


def main() -> int:
    """The command line."""
    given = _arguments()
    if given.folder:
        names = given.only.split(",")
        return uvloop.run(inside(given.folder, given.repository, names, given.to, given.earlier))
    if given.mount:
        return _prepare(given.mount, given)
    return _outside(given)


if __name__ == "__main__":
    sys.exit(main())
