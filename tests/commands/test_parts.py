"""Ports, secrets, file limits: the small promises that `up` and `doctor` stand on."""

import inspect
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.household import PROCESSES, connections_wanted, environment
from gateway.commands.ports import any_free, why_not
from gateway.commands.secret_files import keep_secret
from gateway.commands.welcome import commands
from gateway.errors import ConfigurationFault
from gateway.ground import ground
from gateway.knobs import SERVICES, knobs
from gateway.postgres import Postgres
from gateway.settings import load_settings


def test_a_port_shared_by_another_listener_counts_as_taken() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", any_free("127.0.0.1")))
        other.listen()
        port = other.getsockname()[1]
        assert why_not("127.0.0.1", port) == f"port {port} on 127.0.0.1 is already in use"
        assert any_free("127.0.0.1", preferred=port) != port
    assert why_not("127.0.0.1", port) is None


def test_commands_without_a_fresh_key_take_the_one_that_the_shell_knows() -> None:
    page, *_ = (
        line
        for line in commands("http://door", "$KEY", "http://page/", "http://nothing")
        if line.startswith("  curl ")
    )
    pasted = page.replace("curl", "printf '%s\\n'", 1)
    told = subprocess.run(
        pasted, shell=True, env={"KEY": "sluice_mine"}, capture_output=True, text=True, check=True
    )
    assert "Authorization: Bearer sluice_mine" in told.stdout.splitlines()


def test_settings_tell_which_services_are_started_here() -> None:
    told = {name for name in SERVICES if shown(name) == "started by `up`"}
    assert told == {each for behind in PROCESSES.values() for each in behind}


def shown(service: str) -> str:
    """What `doctor --settings` says of where a service is."""
    name = f"SERVICE_{service.upper()}_URL"
    return next(knob.shown for knob in knobs() if knob.name == name)


def test_a_chosen_port_is_never_one_of_outgoing_connections() -> None:
    assert all(20_000 <= any_free("127.0.0.1") < 32_000 for _ in range(20))
    assert any_free("127.0.0.1", preferred=40_000) < 32_000


def test_a_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    made = keep_secret(tmp_path, "key-pepper", "SLUICE_KEY_PEPPER")
    assert len(made) >= 40
    assert keep_secret(tmp_path, "key-pepper", "SLUICE_KEY_PEPPER") == made
    assert [path.name for path in tmp_path.iterdir()] == ["key-pepper"]
    assert (tmp_path / "key-pepper").stat().st_mode & 0o777 == 0o600


def test_a_damaged_secret_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "key-pepper").write_text("\n")
    with pytest.raises(ConfigurationFault, match="restore it, or set SLUICE_KEY_PEPPER"):
        keep_secret(tmp_path, "key-pepper", "SLUICE_KEY_PEPPER")
    assert (tmp_path / "key-pepper").read_text() == "\n"


async def test_connections_of_the_embedded_postgresql_suffice_for_all_pools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = inspect.signature(Postgres).parameters["pool_size"].default
    settings = load_settings(
        {"SLUICE_DATABASE_URL": "postgresql://u@h/d", "SLUICE_REDIS_URL": "redis://127.0.0.1:9"}
    )
    sizes: list[int] = []

    class Counted(Postgres):
        def __init__(self, dsn: str, *, pool_size: int = pool, **more: Any) -> None:
            sizes.append(pool_size)
            super().__init__(dsn, pool_size=pool_size, **more)

    monkeypatch.setattr("gateway.postgres.pools.Postgres", Counted)
    async with ground(settings, "gateway"):
        of_ground = sum(sizes)
    for workers in (1, 4, 64):
        # Each gateway twice, as at a restart; the worker, the operations listener; two services.
        most = 2 * workers * (of_ground + 2) + 2 * of_ground + 2 * pool
        assert most + 5 <= connections_wanted(workers) <= most + 20


def test_settings_of_the_file_reach_the_children(tmp_path: Path) -> None:
    file = tmp_path / "sluice.toml"
    file.write_text('domain = "example.com"\nreader_allow = ["http://10.0.0.1:80"]\n')
    settings = load_settings({"SLUICE_CONFIG": str(file), "PATH": "/bin"})
    environ = environment(settings, {"DOMAIN": "example.org"})
    assert environ["SLUICE_READER_ALLOW"] == "http://10.0.0.1:80"
    assert environ["SLUICE_DOMAIN"] == "example.org"
    assert environ["PATH"] == "/bin"


def test_commands_raise_the_limit_of_open_files_to_what_is_granted() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    program = (
        "import resource\n"
        "from gateway.commands.file_limit import raise_file_limit\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))\n"
        "raise_file_limit()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    assert done.stdout.strip() == f"({wanted}, {hard})"
