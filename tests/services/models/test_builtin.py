"""The built-in model: the network of the weights, whole or not at all, built again when damaged."""

from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import numpy as np
import orjson
import pytest

from services.models import builtin
from services.models.faults import ModelUnavailable
from services.models.session import Session
from services.models.weights import BrokenWeightsError, read
from tests.services.models.reference import token_vectors


def weights() -> Path:
    found = find_spec(builtin.PACKAGE)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "model" / "model.safetensors"


def test_graph_gives_what_the_network_written_in_numpy_gives(model_data_dir: Path) -> None:
    session = Session("m", builtin.ensure(model_data_dir) / builtin.GRAPH)
    tensors = read(weights())
    random = np.random.default_rng(7)
    texts = [[101, *random.integers(1000, 30_000, n).tolist(), 102] for n in (0, 3, 60)]
    longest = max(map(len, texts))
    ids = np.array([text + [0] * (longest - len(text)) for text in texts], np.int64)
    mask = np.array([[1] * len(t) + [0] * (longest - len(t)) for t in texts], np.int64)
    by_token, pooled = session.run(
        ["token_vectors", "pooled"], {"input_ids": ids, "attention_mask": mask}
    )
    for row, text in enumerate(texts):
        expected = token_vectors(tensors, text)
        assert np.abs(by_token[row, : len(text)] - expected).max() < 1e-5
        assert np.abs(pooled[row] - expected.mean(axis=0)).max() < 1e-5


@pytest.mark.parametrize("damage", ["graph", "tokenizer", "manifest", "gone", "cut"])
def test_damaged_model_is_built_again(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_source(tmp_path / "package", monkeypatch)
    folder = builtin.ensure(tmp_path)
    sound = {path.name: path.read_bytes() for path in folder.iterdir()}
    name = {"tokenizer": builtin.TOKENIZER, "manifest": builtin.MANIFEST}.get(damage, builtin.GRAPH)
    if damage == "gone":
        (folder / name).unlink()
    elif damage == "cut":
        (folder / name).write_bytes(sound[name][:-100])
    else:
        (folder / name).write_bytes(b"\0" + sound[name][1:])
    assert builtin.ensure(tmp_path) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == sound


def test_sound_model_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_source(tmp_path / "package", monkeypatch)
    graph = builtin.ensure(tmp_path) / builtin.GRAPH
    before = graph.stat().st_mtime_ns
    builtin.ensure(tmp_path)
    assert graph.stat().st_mtime_ns == before


def test_processes_that_build_at_once_leave_one_sound_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_source(tmp_path / "package", monkeypatch)
    threads = [Thread(target=builtin.ensure, args=(tmp_path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {path.name for path in (tmp_path / "models" / builtin.NAME).iterdir()}
    assert names == {builtin.GRAPH, builtin.TOKENIZER, builtin.MANIFEST}


def test_missing_weights_are_a_model_that_is_not_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(ModelUnavailable, match="not installed"):
        builtin.ensure(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05",
        b"\xff" * 8,
        b"\x02\0\0\0\0\0\0\0[]x",
        b"\x02\0\0\0\0\0\0\0{x",
        b'\x3c\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}     ',
    ],
)
def test_file_that_is_no_safetensors_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(content)
    with pytest.raises(BrokenWeightsError):
        read(path)


def small_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights' folder with a network of one narrow layer, so that building takes no time."""
    real = weights().parent
    folder.mkdir()
    (folder / "config.json").write_text('{"num_attention_heads": 2}')
    (folder / builtin.TOKENIZER).write_bytes((real / builtin.TOKENIZER).read_bytes())
    small = {
        name: np.ascontiguousarray(value[tuple(slice(0, 8) for _ in value.shape)])
        for name, value in read(real / "model.safetensors").items()
        if "layer." not in name or "layer.0." in name
    }
    head, offset = {}, 0
    for name, value in small.items():
        end = offset + value.nbytes
        head[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [offset, end]}
        offset = end
    written = orjson.dumps(head)
    content = (
        len(written).to_bytes(8, "little")
        + written
        + b"".join(value.tobytes() for value in small.values())
    )
    (folder / "model.safetensors").write_bytes(content)
    monkeypatch.setattr(builtin, "_source", lambda: folder)
