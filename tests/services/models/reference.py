"""The network written once more, in numpy and in the plainest form, to set the graph against."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.floating[Any]]

HEADS = 12


def token_vectors(tensors: Mapping[str, Reals], ids: list[int]) -> Reals:
    """[length, width] for one text without padding."""
    name = "embeddings"
    x = (
        tensors[f"{name}.word_embeddings.weight"][ids]
        + tensors[f"{name}.position_embeddings.weight"][: len(ids)]
        + tensors[f"{name}.token_type_embeddings.weight"][0]
    )
    x = _normed(tensors, f"{name}.LayerNorm", x)
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        mixed = _attended(tensors, f"{at}.attention.self", x)
        dense = _dense(tensors, f"{at}.attention.output.dense", mixed)
        x = _normed(tensors, f"{at}.attention.output.LayerNorm", x + dense)
        wide = _dense(tensors, f"{at}.intermediate.dense", x)
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = _normed(
            tensors, f"{at}.output.LayerNorm", x + _dense(tensors, f"{at}.output.dense", wide)
        )
    return x.astype(np.float32)


def _attended(tensors: Mapping[str, Reals], name: str, x: Reals) -> Reals:
    query, key, value = (
        np.split(_dense(tensors, f"{name}.{part}", x), HEADS, axis=1)
        for part in ("query", "key", "value")
    )
    heads = []
    for q, k, v in zip(query, key, value, strict=True):
        scores = np.exp(q @ k.T / math.sqrt(q.shape[1]))
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ v)
    return np.concatenate(heads, axis=1)


def _dense(tensors: Mapping[str, Reals], name: str, x: Reals) -> Reals:
    return x @ tensors[f"{name}.weight"].T.astype(np.float64) + tensors[f"{name}.bias"]


def _normed(tensors: Mapping[str, Reals], name: str, x: Reals) -> Reals:
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
    found: Reals = centred / deviation * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]
    return found
