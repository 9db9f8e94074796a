"""What deploys the product agrees with it: settings, commands, ports, probes, modules, files."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.__main__ import commands
from gateway.commands.household import PROCESSES
from gateway.knobs import PREFIX, knobs
from services.serving import HEALTH_PATH

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
COMPOSE, HELM, SYSTEMD = OPS / "compose", OPS / "helm", OPS / "systemd"
NAME = re.compile(r"\bSLUICE_([A-Z][A-Z0-9_]*[A-Z0-9])\b")
# Of compose itself: the image that it builds.
NO_SETTINGS = {"IMAGE"}
PROBES = {"/live", "/ready", HEALTH_PATH}


def _deploying() -> Iterator[Path]:
    for folder in (COMPOSE, HELM, SYSTEMD, OPS / "tls"):
        yield from (path for path in folder.rglob("*") if path.is_file())
    yield from OPS.glob("*.md")


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted(_deploying()), ids=lambda path: str(path.name))
def test_every_setting_that_a_file_names_exists(path: Path) -> None:
    known = {knob.name for knob in knobs()} | NO_SETTINGS
    found = set(NAME.findall(path.read_text(encoding="utf-8")))
    # The changelog may name what a version had.
    assert path.name == "changelog.md" or found - known == set()


def test_compose_runs_commands_and_modules_that_exist() -> None:
    services = _yaml(COMPOSE / "compose.yaml")["services"]
    for name, each in services.items():
        if "sluice" not in each["image"]:
            continue
        if "entrypoint" in each:
            package = each["entrypoint"][-1].removeprefix("services.")
            assert (ROOT / "services" / package / "__main__.py").is_file(), name
            assert "--outlive-parent" in each["command"], "a container has no parent to end with"
        else:
            assert each["command"][0] in commands(), name
            assert each["read_only"], name


def test_compose_finds_each_service_where_it_listens() -> None:
    document = _yaml(COMPOSE / "compose.yaml")
    inner = document["x-inner"]
    urls = {k: v for k, v in inner.items() if k.startswith(PREFIX + "SERVICE_")}
    assert len(urls) == sum(len(behind) for behind in PROCESSES.values())
    for name, url in urls.items():
        host, port = re.fullmatch(r"http://([a-z]+):([0-9]+)", url).groups()  # type: ignore[union-attr]
        each = document["services"][host]
        assert f"0.0.0.0:{port}" in each["command"], name
        service = name.removeprefix(PREFIX + "SERVICE_").removesuffix("_URL").lower()
        assert service in PROCESSES[each["entrypoint"][-1].removeprefix("services.")]


def test_compose_publishes_nothing_beyond_this_machine() -> None:
    for each in _yaml(COMPOSE / "compose.yaml")["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", ()))


def test_prometheus_of_compose_has_the_rules_and_the_operations_port() -> None:
    document = _yaml(COMPOSE / "prometheus.yml")
    for rules in document["rule_files"]:
        assert (OPS / "prometheus" / rules).is_file()
    (knob,) = (knob for knob in knobs() if knob.name == "OPS_PORT")
    (job,) = document["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"gateway:{knob.default}"]


def test_the_image_is_built_of_files_that_exist_and_runs_nobody_as_root() -> None:
    text = (COMPOSE / "Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert copied
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not {each.split("/")[0] for each in " ".join(copied).split()} & set(ignored)
    last = text[text.rindex("FROM") :]
    assert re.search(r"^USER [1-9]\d+", last, re.MULTILINE)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert re.search(r'^ENTRYPOINT \["(\w+)"\]$', last, re.MULTILINE)[1] in scripts  # type: ignore[index]


def _templates() -> str:
    return "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((HELM / "templates").glob("*.yaml"))
    )


def test_helm_uses_values_that_exist_and_has_none_that_it_does_not_use() -> None:
    """Without helm here: every path of a template is looked up in values.yaml."""
    values = _yaml(HELM / "values.yaml")
    used = set(re.findall(r"\$?\.Values((?:\.[a-zA-Z]+)+)", _templates()))
    for path in used:
        place = values
        for word in path.strip(".").split("."):
            assert word in place, path
            place = place[word]
    assert {path.split(".")[1] for path in used} == set(values)
    of_each = set(re.findall(r"\$each\.([a-z]+)", _templates()))
    for name, each in values["services"].items():
        assert set(each) == of_each, name


@pytest.mark.parametrize("path", sorted((HELM / "templates").iterdir()), ids=lambda p: p.name)
def test_helm_templates_are_yaml_once_their_holes_are_filled(path: Path) -> None:
    """A block's line goes, a value becomes a word; helm itself is not here."""
    text = path.read_text(encoding="utf-8")
    assert len(re.findall(r"{{-? (?:if|range) ", text)) == len(re.findall(r"{{-? end }}", text))
    filled = re.sub(r"^\s*{{-.*}}$", "", text, flags=re.MULTILINE)
    filled = re.sub(r"{{.*?}}", "x", filled)
    kinds = [document["kind"] for document in yaml.safe_load_all(filled) if document]
    assert kinds
    assert "{{" not in filled


def test_helm_sets_settings_services_and_probes_that_exist() -> None:
    values, templates = _yaml(HELM / "values.yaml"), _templates()
    assert set(values["settings"]) <= {knob.name for knob in knobs()}
    assert all(isinstance(value, str) for value in values["settings"].values())
    assert {n: tuple(each["behind"]) for n, each in values["services"].items()} == dict(PROCESSES)
    assert set(re.findall(r"path: (/[a-z]+)", templates)) == PROBES
    defaults = {knob.name: knob.default for knob in knobs()}
    assert f"containerPort: {defaults['PORT']}" in templates
    assert f"containerPort: {defaults['OPS_PORT']}" in templates
    # A Kubernetes service of this name would set SLUICE_..._PORT for every pod.
    assert templates.count("enableServiceLinks: false") == templates.count("restartPolicy") + 2


def test_a_pod_has_the_time_that_its_stop_takes() -> None:
    values = _yaml(HELM / "values.yaml")
    stop_ms = sum(int(values["settings"][name]) for name in ("LAME_DUCK_MS", "DRAIN_MS"))
    assert values["gateway"]["stopSeconds"] * 1_000 >= stop_ms + 10_000
    assert values["gateway"]["minAvailable"] < values["gateway"]["replicas"]


@pytest.mark.parametrize("path", sorted(SYSTEMD.iterdir()), ids=lambda path: path.name)
def test_systemd_starts_commands_that_exist(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in (line for line in lines if line.startswith("ExecStart=")):
        program, word, *more = line.removeprefix("ExecStart=").split()
        if program.endswith("/sluice"):
            assert word in commands()
        else:
            assert [word, more[0]] == ["-m", "services.%i"]
            assert "--outlive-parent" in more
    assert path.suffix == ".socket" or {"NoNewPrivileges=yes", "ProtectSystem=strict"} <= set(lines)


def test_systemd_holds_a_socket_for_each_gateway_process() -> None:
    listens = re.findall(
        r"^ListenStream=127\.0\.0\.1:(\d+)$", (SYSTEMD / "sluice.socket").read_text(), re.MULTILINE
    )
    (port,) = set(listens)
    defaults = {knob.name: knob.default for knob in knobs()}
    assert int(port) == defaults["PORT"]
    assert f"SLUICE_WORKERS={len(listens)}" in (SYSTEMD / "sluice.service").read_text()


def test_proxies_forget_a_connection_before_the_gateway_does() -> None:
    """Else a request goes into a connection that is being closed."""
    server = (ROOT / "gateway/edge/server.py").read_text(encoding="utf-8")
    keeps_s = float(re.search(r"_KEEP_ALIVE_S: Final = ([0-9.]+)", server)[1])  # type: ignore[index]
    nginx = (OPS / "tls/nginx.conf").read_text(encoding="utf-8")
    caddy = (OPS / "tls/Caddyfile").read_text(encoding="utf-8")
    assert float(re.search(r"keepalive_timeout (\d+)s", nginx)[1]) < keeps_s  # type: ignore[index]
    assert float(re.search(r"keepalive (\d+)s", caddy)[1]) < keeps_s  # type: ignore[index]
