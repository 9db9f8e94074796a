"""The registry: names, aliases, and every mistake that its file can have."""

from pathlib import Path

import pytest

from services.models.faults import UnknownModel
from services.models.registry import Local, RegistryError, Remote, load

SERVER = '[models.far]\nkind = "openai"\nurl = "http://h:1"\ndimension = 4\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text)
    return path


def test_built_in_registry_resolves_the_names_of_the_contract() -> None:
    registry = load(None)
    for name in ("jina-embeddings-v3", "jina-clip-v1", "jina-reranker-v2-base-multilingual"):
        assert registry.resolve(name) == "all-minilm-l6-v2"
    assert registry.resolve(None) == registry.default


@pytest.mark.parametrize("name", ["", "nothing", "ALL-MINILM-L6-V2", "x" * 10_000])
def test_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        load(None).resolve(name)
    assert "all-minilm-l6-v2" in str(caught.value)
    assert len(str(caught.value)) < 2_000


def test_file_adds_models_and_moves_aliases(tmp_path: Path) -> None:
    text = SERVER + '[aliases]\n"jina-embeddings-v3" = "far"\n'
    registry = load(written(tmp_path, text))
    assert isinstance(registry.models[registry.resolve("jina-embeddings-v3")], Remote)
    assert isinstance(registry.models[registry.resolve("jina-clip-v1")], Local)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[models.a", "cannot be read"),
        ("models = 5", "models must be a table"),
        ("[models]\na = 5", "models.a must be a table"),
        ('[models.a]\nkind = "magic"', "models.a.kind must be one of"),
        ('[models.a]\nkind = "onnx"', "models.a.folder is missing"),
        ('[models.a]\nkind = "onnx"\nfolder = 5', "models.a.folder must be a string"),
        ('[models.a]\nkind = "openai"\nurl = "h:1"\ndimension = 4', "models.a.url must be"),
        ('[models.a]\nkind = "tei"\nurl = "http://h:x"\ndimension = 4', "models.a.url must be"),
        ('[models.a]\nkind = "tei"\nurl = "http://h:1"', "models.a.dimension must be"),
        (SERVER + "deadline_ms = true", "models.far.deadline_ms must be"),
        (SERVER + 'folder = "x"', "models.far.folder is no option"),
        ('[aliases]\nx = "nowhere"', "aliases.x leads to 'nowhere'"),
        ('[aliases]\nx = ["a"]', "aliases.x leads to"),
        ('default = "nowhere"', "default is 'nowhere'"),
    ],
)
def test_mistake_in_the_file_is_named(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryError) as caught:
        load(written(tmp_path, text))
    assert said in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = 'default = "x"\n[models.a]\nkind = "onnx"\n[aliases]\nb = "c"'
    with pytest.raises(RegistryError) as caught:
        load(written(tmp_path, text))
    assert len(caught.value.mistakes) == 3


def test_missing_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        load(tmp_path / "nowhere.toml")
