"""Settings: every mistake told at once by name, every knob explained, nothing read twice."""

import ast
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gateway.errors import ConfigurationFault
from gateway.knobs import Knob
from gateway.settings import PREFIX, Settings, knobs, load_settings, process_environment
from services import settings as services_settings

GATEWAY = Path(__file__).resolve().parents[2] / "gateway"
SURFACE = {
    "PORT": 8080,
    "BIND": "127.0.0.1",
    "OPS_PORT": 8081,
    "DATA_DIR": Path(".sluice"),
    "DATABASE_URL": None,
    "REDIS_URL": None,
    "DOMAIN": "localhost",
    "WORKERS": None,
    "ADMIN_TOKEN": None,
    "PRODUCTS": None,
    "KEYS_PER_ADDRESS": 5,
    "TRUSTED_PROXIES": (),
}
HANDED_ON = """
    SERVICE_READER_URL SERVICE_SEARCH_URL SERVICE_DEEPSEARCH_URL SERVICE_EMBEDDINGS_URL
    SERVICE_RERANK_URL SERVICE_CLASSIFIER_URL SERVICE_SEGMENTER_URL READER_ALLOW SEARCH_URL
    LLM_BASE_URL LLM_API_KEY LLM_MODEL STRIPE_SECRET_KEY STRIPE_WEBHOOK_SECRET STRIPE_API_BASE
"""


def _load(**settings: str) -> Settings:
    return load_settings({PREFIX + name: text for name, text in settings.items()})


def _mistakes(environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigurationFault) as caught:
        load_settings(environ)
    return list(caught.value.mistakes)


def test_names_and_defaults_are_those_of_the_surface() -> None:
    defaults = {knob.name: knob.default for knob in knobs()}
    for name, default in SURFACE.items():
        assert defaults[name] == default
    assert set(HANDED_ON.split()) <= set(defaults)


def test_without_any_setting_everything_has_its_default() -> None:
    settings = _load()
    assert (settings.port, settings.ops_port, settings.bind) == (8080, 8081, "127.0.0.1")
    assert settings.workers == os.cpu_count()
    assert settings.data_dir == Path.cwd() / ".sluice"
    assert settings.metrics_dir == Path.cwd() / ".sluice" / "metrics"
    assert settings.service_urls == {}


@pytest.mark.parametrize("knob", knobs(), ids=lambda knob: knob.name)
def test_every_knob_says_what_it_is_for_and_in_which_unit(knob: Knob) -> None:
    assert len(knob.text) > 12
    assert "\n" not in knob.text
    for suffix, unit in (("_MS", "milliseconds"), ("_BYTES", "bytes"), ("_PIXELS", "pixels")):
        if knob.name.endswith(suffix):
            assert knob.text.startswith(unit)
    assert knob.default_text
    assert len(knob.default_text) <= 24


def test_every_knob_is_read_by_somebody() -> None:
    used: set[str] = set()
    for path in GATEWAY.rglob("*.py"):
        if path.name in ("settings.py", "knobs.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                used.add(node.attr)
    wanted = {knob.attribute for knob in knobs() if knob.attribute is not None}
    assert wanted - used == set()
    assert wanted | {"service_urls", "environ"} == set(Settings.__dataclass_fields__)


class _Asked(Mapping[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        if name == "SLUICE_INTERNAL_SECRET":
            return "x" * 16
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_every_setting_of_the_services_is_known_to_the_gateway() -> None:
    asked = _Asked()
    services_settings.load(asked)
    assert asked.names <= {PREFIX + knob.name for knob in knobs()}
    assert len(asked.names) > 15


ZOO = json.loads((Path(__file__).parent / "zoo.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", ZOO, ids=lambda case: f"{case['name']}={case['text'][:20]}")
def test_each_bad_setting_gets_its_sentence(case: dict[str, str]) -> None:
    name = PREFIX + case["name"]
    assert _mistakes({name: case["text"]}) == [f"{name} {case['sentence']}"]


def test_all_mistakes_are_told_at_once_each_with_its_name() -> None:
    told = _mistakes({PREFIX + case["name"]: case["text"] for case in ZOO})
    # A later text of the same name replaces an earlier one.
    assert len(told) == len({case["name"] for case in ZOO})
    for case in ZOO:
        assert any(each.startswith(f"SLUICE_{case['name']} ") for each in told)


def test_secrets_are_never_told_back() -> None:
    planted = "s3cr3t-that-nobody-may-see"
    urls = {
        "DATABASE_URL": f"mysql://u:{planted}@h/db",
        "REDIS_URL": f"redis://:{planted}@h:99999/0",
        "ADMIN_TOKEN": f"{planted} \x07",
        "KEY_PEPPER": f"{planted}é",
        "SERVICE_READER_URL": f"http://u:{planted}@h/",
    }
    told = _mistakes({PREFIX + name: text for name, text in urls.items()})
    assert len(told) == len(urls)
    assert planted not in " ".join(told)
    fine = _load(
        DATABASE_URL=f"postgresql://u:{planted}@h/db",
        REDIS_URL=f"redis://:{planted}@h",
        ADMIN_TOKEN=planted,
        KEY_PEPPER=planted,
        INTERNAL_SECRET=planted,
    )
    assert planted not in repr(fine)


def test_unknown_names_are_mistakes_and_near_ones_are_guessed() -> None:
    environ = {
        "SLUICE_PROT": "1",
        "SLUICE_SERVICE_READR_URL": "http://h",
        "SLUICE_READER_ALOW": "x",
        "SLUICE_XYZZY": "",
        "SLUICE_": "1",
        "SLUICEPORT": "1",
        "PATH": "/bin",
    }
    assert _mistakes(environ) == [
        "SLUICE_ is no setting; `sluice doctor --settings` lists them all",
        "SLUICE_PROT is no setting; is SLUICE_PORT meant?",
        "SLUICE_READER_ALOW is no setting; is SLUICE_READER_ALLOW meant?",
        "SLUICE_SERVICE_READR_URL is no setting; is SLUICE_SERVICE_READER_URL meant?",
        "SLUICE_XYZZY is no setting; `sluice doctor --settings` lists them all",
    ]


def test_equal_ports_are_refused_but_for_any_free_one() -> None:
    assert _mistakes({"SLUICE_PORT": "9", "SLUICE_OPS_PORT": "9"}) == [
        "SLUICE_OPS_PORT must differ from SLUICE_PORT: it is never public"
    ]
    assert _load(PORT="0", OPS_PORT="0").port == 0


def test_values_are_brought_into_one_form() -> None:
    settings = _load(
        PORT=" 81 ",
        DOMAIN="Example.COM",
        TRUSTED_PROXIES="10.1.2.3/8, ::1 ,",
        BIND="::0",
        DATA_DIR="~/x",
        REDIS_URL="unix://user:pass@/run/redis.sock?db=3",
        SERVICE_READER_URL="unix:/run/reader.sock",
        SERVICE_RERANK_URL="https://rerank.example:8443/base",
        WORKERS="",
    )
    assert settings.port == 81
    assert settings.domain == "example.com"
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert settings.bind == "::"
    assert settings.data_dir == Path.home() / "x"
    assert settings.service_urls == {
        "reader": "unix:/run/reader.sock",
        "rerank": "https://rerank.example:8443/base",
    }


def test_a_file_of_settings_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    path = tmp_path / "sluice.toml"
    path.write_text(
        'port = 9000\nDOMAIN = "example.com"\nSLUICE_WORKERS = 3\n'
        'trusted_proxies = ["10.0.0.0/8", "::1"]\nreader_allow = "http://127.0.0.1:9"\n'
    )
    settings = _load(CONFIG=str(path), DOMAIN="other.example")
    assert (settings.port, settings.workers) == (9000, 3)
    assert settings.domain == "other.example"
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")
    # The processes that we start see what the file says.
    assert settings.environ["SLUICE_READER_ALLOW"] == "http://127.0.0.1:9"
    assert settings.environ["SLUICE_PORT"] == "9000"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = ", "SLUICE_CONFIG: {path} is no TOML: "),
        ('port = "http"', "SLUICE_PORT must be a whole number, not 'http'"),
        ("port = 1.5", "SLUICE_PORT in {path} must be a text, a whole number or a list of texts"),
        ("port = true", "SLUICE_PORT in {path} must be a text, a whole number or a list of texts"),
        ("[port]\na = 1", "SLUICE_PORT in {path} must be a text"),
        ("trusted_proxies = [1]", "SLUICE_TRUSTED_PROXIES in {path} must be a text"),
        ("prot = 1", "SLUICE_PROT is no setting; is SLUICE_PORT meant?"),
        ("port = 1\nPORT = 2", "SLUICE_PORT stands twice"),
        ('config = "x"', "SLUICE_CONFIG is in its own file"),
    ],
)
def test_mistakes_of_the_file_are_told_by_name(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "sluice.toml"
    path.write_text(text)
    (told,) = _mistakes({"SLUICE_CONFIG": str(path)})
    assert told.startswith(words.format(path=path))


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        (told,) = _mistakes({"SLUICE_CONFIG": str(path)})
        assert told.startswith(f"SLUICE_CONFIG names no readable file: {path}: ")
    (tmp_path / "latin.toml").write_bytes(b'domain = "\xe9"')
    (told,) = _mistakes({"SLUICE_CONFIG": str(tmp_path / "latin.toml")})
    assert "is no TOML" in told


def test_the_environment_of_the_process_is_copied() -> None:
    copy = process_environment()
    copy["SLUICE_NEW"] = "1"
    assert "SLUICE_NEW" not in process_environment()


def test_help_names_only_settings_that_exist() -> None:
    # Under API_KEY the clients in our documents keep their key: it is no setting of ours.
    known = {"API_KEY", *(knob.name for knob in knobs())}
    for path in GATEWAY.rglob("*.py"):
        for name in re.findall(r"SLUICE_([A-Z][A-Z_]+[A-Z])", path.read_text(encoding="utf-8")):
            assert name in known, f"{path.name}: SLUICE_{name}"
