"""`sluice up` from the first line to the last process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.commands.ports import any_free
from tests.commands.sluice import Up, doctor_says, start, up
from tests.embedded.processes import callers, ended, family, left_after


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder with a short path, removed afterwards."""
    made = Path(tempfile.mkdtemp(prefix="sluice-up-"))
    made.chmod(0o755)
    yield made / "data"
    shutil.rmtree(made)


def _paste(words: Sequence[str]) -> tuple[int, dict[str, str], str]:
    """What one of the printed commands gets: status, headers, body."""
    assert words[0] == "curl"
    header = words[words.index("-H") + 1]
    name, _, value = header.partition(": ")
    request = urllib.request.Request(words[-1], headers={name: value})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, dict(reply.headers), reply.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, dict(refused.headers), refused.read().decode()


def _balance(words: Sequence[str]) -> int | None:
    """The key's balance; None while PostgreSQL is away."""
    status, _, body = _paste(words)
    assert status in (200, 503), body
    return int(json.loads(body)["balance"]["total"]) if status == 200 else None


def _settled(words: Sequence[str], expected: int) -> int | None:
    """The balance once it is `expected`, or what it is after half a minute."""
    give_up_s = time.monotonic() + 30
    while (found := _balance(words)) != expected and time.monotonic() < give_up_s:
        time.sleep(0.05)
    return found


def _health(running: Up) -> int:
    try:
        with urllib.request.urlopen(f"{running.door}/health", timeout=30) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code


@pytest.mark.parametrize("caller", sorted(callers()))
def test_printed_commands_work_as_pasted_and_cost_what_they_say(folder: Path, caller: str) -> None:
    with up(folder, before=callers()[caller]) as running:
        page, me, failing = running.curls()
        before = _balance(me)
        assert before == 10_000_000

        status, headers, body = _paste(page)
        assert status == 200
        assert "# How a sluice works" in body
        cost = int(headers["x-usage-tokens"])
        assert cost > 0
        assert _settled(me, before - cost) == before - cost

        status, headers, _ = _paste(failing)
        assert status >= 400
        assert headers["x-usage-tokens"] == "0"
        time.sleep(0.5)
        assert _balance(me) == before - cost
        assert running.stop(signal.SIGINT) == 0


def test_every_start_has_a_fresh_key_and_uses_up_no_address(folder: Path) -> None:
    with up(folder, env={"KEYS_PER_ADDRESS": "1"}) as running:
        assert _balance(running.curls()[1]) == 10_000_000
        mint = urllib.request.Request(f"{running.door}/v1/keys", method="POST")
        with urllib.request.urlopen(mint, timeout=30) as reply:
            assert reply.status == 201
        assert running.stop() == 0
    with up(folder, env={"KEYS_PER_ADDRESS": "1"}) as second:
        assert _balance(second.curls()[1]) == 10_000_000
        assert second.stop() == 0


def test_second_up_goes_on_with_the_same_keys(folder: Path) -> None:
    with up(folder, env={"KEYS_PER_ADDRESS": "1"}) as first:
        page, me, _ = first.curls()
        cost = int(_paste(page)[1]["x-usage-tokens"])
        assert first.stop() == 0
    with up(folder, env={"KEYS_PER_ADDRESS": "1"}) as second:
        me[-1] = me[-1].replace(first.door, second.door)
        assert _balance(me) == 10_000_000 - cost
        assert second.stop() == 0


def test_killed_servers_and_children_come_back_under_the_same_key(folder: Path) -> None:
    with up(folder) as running:
        page, me, _ = running.curls()
        spent = int(_paste(page)[1]["x-usage-tokens"])
        for name in ("redis-server", "bin/postgres", "services.reader", "gateway serve"):
            # What a gateway delivered within its last moments is given back to the customer by
            # design: wait until nothing of that kind is open.
            assert _settled(me, 10_000_000 - spent) == 10_000_000 - spent
            time.sleep(0.3)
            before = family(running.process.pid)
            victim = next(seen for seen in before if name in seen.command)
            os.kill(victim.pid, signal.SIGKILL)
            assert not left_after([victim], 20)
            spent += _paste_until_it_works(page)
        assert _settled(me, 10_000_000 - spent) == 10_000_000 - spent
        assert _health(running) == 200
        assert running.stop() == 0


def _paste_until_it_works(page: Sequence[str]) -> int:
    """The cost of the first answer that is a success; at most a minute of others before it."""
    give_up_s = time.monotonic() + 60
    while True:
        try:
            status, headers, body = _paste(page)
        except OSError as error:
            status, headers, body = 0, {}, str(error)
        if status == 200:
            return int(headers["x-usage-tokens"])
        assert time.monotonic() < give_up_s, f"{status} {body}"
        time.sleep(0.1)


def test_killed_up_leaves_nobody_behind(folder: Path) -> None:
    with up(folder) as running:
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL


def test_signal_during_the_start_stops_everything_too(folder: Path) -> None:
    with ended(start(folder, 0, 0)) as process:
        give_up_s = time.monotonic() + 60
        while len(everybody := family(process.pid)) < 4:
            assert process.poll() is None
            assert time.monotonic() < give_up_s
            time.sleep(0.01)
        process.terminate()
        assert process.wait(60) == 0
    assert not left_after(everybody, 20)


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[Up, Path]]:
    """One running gateway for those that must not disturb it, and its data folder."""
    made = Path(tempfile.mkdtemp(prefix="sluice-up-"))
    with up(made / "data") as running:
        yield running, made / "data"
        # Undisturbed to the end.
        assert _health(running) == 200
        assert running.stop() == 0
    shutil.rmtree(made)


@pytest.mark.parametrize("name", ["SLUICE_PORT", "SLUICE_OPS_PORT"])
def test_port_in_use_is_one_line_and_exit_2_with_nothing_made(
    standing: tuple[Up, Path], folder: Path, name: str
) -> None:
    running, _ = standing
    ports = (running.port, 0) if name == "SLUICE_PORT" else (0, running.ops_port)
    with ended(start(folder, *ports)) as second:
        text, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert text == (
        f"sluice: port {max(ports)} on 127.0.0.1 is already in use: "
        f"stop what uses it, or set {name} to another port\n"
    )
    assert not folder.exists()


def test_data_folder_in_use_is_one_line_and_exit_2(standing: tuple[Up, Path]) -> None:
    running, folder = standing
    with ended(start(folder, 0, 0)) as second:
        text, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert text == (
        f"sluice: {folder} is in use by process {running.process.pid}: "
        "stop it, or set SLUICE_DATA_DIR to another folder\n"
    )


def test_doctor_beside_the_running_system_finds_it_running_and_all_ok(
    standing: tuple[Up, Path],
) -> None:
    running, folder = standing
    code, found = doctor_says(folder, running.port, running.ops_port)
    use = f"in use by this Sluice, process {running.process.pid}: running"
    assert found["data folder"] == f"ok    {folder} is {use}"
    assert found["SLUICE_PORT"] == f"ok    port {running.port} on 127.0.0.1 is {use}"
    assert found["SLUICE_OPS_PORT"] == f"ok    port {running.ops_port} on 127.0.0.1 is {use}"
    assert code == 0, found


def test_doctor_calls_a_port_of_another_process_wrong_also_beside_the_running_system(
    standing: tuple[Up, Path], folder: Path
) -> None:
    running, its_folder = standing
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", any_free("127.0.0.1")))
        foreign.listen()
        code, found = doctor_says(its_folder, foreign.getsockname()[1], running.ops_port)
    assert (code, found["SLUICE_PORT"][:5]) == (1, "WRONG")
    # And to another data folder the running system is a stranger.
    code, found = doctor_says(folder, running.port, running.ops_port)
    assert (code, found["SLUICE_PORT"][:5], found["SLUICE_OPS_PORT"][:5]) == (1, *["WRONG"] * 2)


def test_a_second_up_of_the_same_is_told_that_it_runs_already(standing: tuple[Up, Path]) -> None:
    running, folder = standing
    with start(folder, running.port, running.ops_port) as second:
        text, _ = second.communicate(timeout=20)
    assert second.returncode == 2
    assert text == (
        f"sluice: it runs already, as process {running.process.pid} on this data folder: stop it "
        "first; a second one needs its own SLUICE_DATA_DIR, SLUICE_PORT, SLUICE_OPS_PORT\n"
    )


def test_every_wrong_setting_is_listed_and_nothing_starts(folder: Path) -> None:
    wrong = {"DOMAIN": "not a domain", "WORKERS": "-1", "READER_ALOW": "x", "PROT": "1"}
    with ended(start(folder, 0, 0, env=wrong)) as process:
        text, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    for name in ("SLUICE_DOMAIN", "SLUICE_WORKERS", "SLUICE_PROT"):
        assert text.count(name) == 1
    assert not folder.exists()


def test_a_file_of_packs_with_a_mistake_is_one_line_and_exit_2(folder: Path) -> None:
    packs = folder.parent / "packs.toml"
    packs.write_text("[packs.a]\ntokens = 0\nusd = 500\n")
    with ended(start(folder, 0, 0, env={"PACKS": str(packs)})) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    line = "sluice: SLUICE_PACKS: packs.a.tokens must be a whole number from 1 to 1000000000000"
    assert said.splitlines() == [line]
    assert not folder.exists()


def test_secrets_are_made_once_and_only_ours_to_read(folder: Path) -> None:
    names = ("admin-token", "key-pepper", "internal-secret")
    seen = []
    for _ in range(2):
        with up(folder) as running:
            seen.append([(folder / name).read_text() for name in names])
            assert all((folder / name).stat().st_mode & 0o777 == 0o600 for name in names)
            environments = " ".join(one.command for one in family(running.process.pid))
            assert not any(secret.strip() in environments for secret in seen[-1])
            assert running.stop() == 0
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 3


def test_help_of_every_command_says_what_it_does() -> None:
    for words in ((), ("up",), ("serve",), ("worker",), ("migrate",), ("doctor",)):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0
        assert len(done.stdout) > 100


def test_second_signal_does_not_wait_for_a_child_that_hangs(folder: Path) -> None:
    # The first signal alone would wait for it for two minutes.
    with up(folder, env={"DRAIN_MS": "120000"}) as running:
        everybody = family(running.process.pid)
        hanging = next(seen for seen in everybody if "gateway serve" in seen.command)
        os.kill(hanging.pid, signal.SIGSTOP)
        running.process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0
        assert not left_after(everybody, 20)
