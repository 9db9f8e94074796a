"""The yardstick of the models: tokenizer and ONNX Runtime in plain loops, nothing around them.

Two loops over the same graph: a text at a time, and what people write when they want it fast:
sorted by length, batches of 32, padded. On every core, as the runtime does by default, or on one.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as runtime  # type: ignore[import-untyped]
from tokenizers import Tokenizer

_WINDOW = 256


class Bare:
    """A tokenizer and a session; 0 threads are as many as there are cores."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_WINDOW)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = runtime.InferenceSession(str(folder / "model.onnx"), options)

    def one_by_one(self, texts: Sequence[str]) -> None:
        for text in texts:
            self._run([self._tokenizer.encode(text).ids])

    def batched(self, texts: Sequence[str], size: int = 32) -> None:
        ids = sorted((found.ids for found in self._tokenizer.encode_batch(list(texts))), key=len)
        for begin in range(0, len(ids), size):
            self._run(ids[begin : begin + size])

    def _run(self, batch: Sequence[Sequence[int]]) -> None:
        length = max(map(len, batch))
        ids = np.zeros((len(batch), length), np.int64)
        mask = np.zeros_like(ids)
        for row, found in enumerate(batch):
            ids[row, : len(found)] = found
            mask[row, : len(found)] = 1
        self._session.run(["pooled"], {"input_ids": ids, "attention_mask": mask})
