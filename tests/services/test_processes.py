"""Services as processes: how fast they come up, how they stop, and what they leave behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.accepting import Listen, parse_listen
from services.settings import Origin, Settings, SettingsError, load, parse_origin
from tests.services.asking import SECRET, Asker
from tests.services.processes import (
    ROOT,
    alive,
    children_of,
    environment,
    free_port,
    service,
    wait_ready,
    wait_until_gone,
)
from tests.services.site import Site

# The promise is 1.5 s; this machine may be busy with other tests at the same time.
READY_S = 30.0


@pytest.mark.parametrize("name", ["reader", "segmenter"])
async def test_service_listens_on_a_unix_socket(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with service(name, f"unix:{path}", {}):
        answer = await Asker("http://service", path).raw("GET", "/health", {})
        assert answer.status == 200


async def test_stale_socket_of_a_killed_service_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with service("segmenter", f"unix:{path}", {}):
        answer = await Asker("http://service", path).raw("GET", "/health", {})
        assert answer.status == 200


@pytest.mark.parametrize("name", ["reader", "segmenter"])
def test_service_is_ready_soon(name: str) -> None:
    listen = f"127.0.0.1:{free_port()}"
    begun = time.monotonic()
    with service(name, listen, {}):
        assert time.monotonic() - begun < READY_S


async def test_open_request_is_finished_at_a_stop(site: Site) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with service("reader", listen, {"SLUICE_READER_ALLOW": site.origin}) as process:
        reader = Asker(f"http://{listen}")
        assert (await reader.get(f"/{site.origin}/page/links")).status == 200
        slow = asyncio.create_task(reader.get(f"/{site.origin}/slow?stop", {"X-Timeout": "20"}))
        give_up_s = time.monotonic() + 20
        while not any(path == "/slow?stop" for path, _ in site.requests):
            assert time.monotonic() < give_up_s
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        answer = await slow
        assert answer.status == 200
        assert process.wait(60) == 0


def test_stop_leaves_no_worker(site: Site) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with service("reader", listen, {"SLUICE_READER_WORKERS": "2"}) as process:
        workers = _workers(process.pid, 2)
    assert process.returncode == 0
    assert wait_until_gone(workers) == []


def test_workers_end_when_the_service_is_killed() -> None:
    listen = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "services.reader", "--listen", listen],
        env=environment({"SLUICE_READER_WORKERS": "2"}),
        cwd=ROOT,
    )
    wait_ready(listen, process)
    workers = _workers(process.pid, 2)
    process.kill()
    process.wait()
    assert wait_until_gone(workers) == []


def test_service_and_workers_end_when_the_parent_is_killed() -> None:
    """The parent is a process of its own, as `sluice up` is, and gets no chance to clean up."""
    listen = f"127.0.0.1:{free_port()}"
    code = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-m', 'services.reader', '--listen', '{listen}'])\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env=environment({"SLUICE_READER_WORKERS": "1"}), cwd=ROOT
    )
    wait_ready(listen, parent)
    [child] = children_of(parent.pid)
    workers = _workers(child, 1)
    parent.kill()
    parent.wait()
    assert wait_until_gone([child, *workers]) == []


def test_service_with_a_parent_that_is_gone_ends_at_once() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "services.segmenter", "--listen", "127.0.0.1:0", "--parent", "1"],
        env=environment({}),
        cwd=ROOT,
        timeout=60,
    )
    assert process.returncode == 0


async def test_killed_worker_is_replaced(site: Site) -> None:
    listen = f"127.0.0.1:{free_port()}"
    settings = {"SLUICE_READER_ALLOW": site.origin, "SLUICE_READER_WORKERS": "1"}
    with service("reader", listen, settings) as process:
        reader = Asker(f"http://{listen}")
        assert (await reader.get(f"/{site.origin}/page/article")).status == 200
        [worker] = children_of(process.pid)
        os.kill(worker, signal.SIGKILL)
        assert wait_until_gone([worker]) == []
        assert (await reader.get(f"/{site.origin}/page/article")).status == 200
        assert not alive(worker)


def test_wrong_settings_end_the_start_with_every_mistake_named() -> None:
    wrong = {
        "SLUICE_INTERNAL_SECRET": "short",
        "SLUICE_READER_ALLOW": "http://127.0.0.1:9000, example.com, http://a/b",
        "SLUICE_READER_TIMEOUT_MS": "soon",
        "SLUICE_READER_WORKERS": "0",
        "SLUICE_PORT": "99999",
    }
    process = subprocess.run(
        [sys.executable, "-m", "services.reader", "--listen", "127.0.0.1:0"],
        env={**environment({}), **wrong},
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    assert process.returncode == 2
    lines = process.stderr.decode().splitlines()
    for name in wrong:
        assert any(name in line for line in lines), name
    assert sum("SLUICE_READER_ALLOW" in line for line in lines) == 2
    assert len(lines) == 6


@pytest.mark.parametrize("listen", ["", "unix:", "localhost", "a:b", "a:99999", ":x"])
def test_wrong_listen_ends_the_start(listen: str) -> None:
    with pytest.raises(ValueError, match=r"unix|neither"):
        parse_listen(listen)


def test_listen_is_a_socket_or_host_and_port() -> None:
    assert parse_listen("unix:/run/x.sock") == Listen("/run/x.sock")
    assert parse_listen("127.0.0.1:80") == Listen(None, "127.0.0.1", 80)
    assert parse_listen("[::1]:80") == Listen(None, "::1", 80)


def test_settings_have_their_defaults_and_their_origins() -> None:
    settings = load({"SLUICE_INTERNAL_SECRET": SECRET, "SLUICE_READER_ALLOW": "http://a:1,"})
    assert isinstance(settings, Settings)
    assert settings.reader_timeout_ms == 30_000
    assert settings.reader_allow == frozenset({Origin("http", "a", 1)})
    assert parse_origin("https://[::1]/") == Origin("https", "::1", 443)
    with pytest.raises(SettingsError, match="SLUICE_INTERNAL_SECRET is missing"):
        load({})


def _workers(pid: int, count: int) -> list[int]:
    begun = time.monotonic()
    while len(found := children_of(pid)) < count:
        assert time.monotonic() - begun < 60
        time.sleep(0.02)
    return found
