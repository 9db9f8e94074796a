"""A model for texts and pictures, small enough to be made by every run: its folder as CLIP's is.

A picture becomes the mean colours of its four quarters, a text the mean of fixed random vectors of
its tokens: enough to tell red from blue, and to have one width for both.
"""

from pathlib import Path

import numpy as np
import orjson
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

EDGE = 32
WIDTH = 12
WORDS = ("[UNK]", "[CLS]", "[SEP]", "red", "blue", "green", "a", "picture")


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(_text())
    (folder / "vision_model.onnx").write_bytes(_vision())
    shape = {"size": {"shortest_edge": EDGE}, "crop_size": {"height": EDGE, "width": EDGE}}
    config = {**shape, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (folder / "preprocessor_config.json").write_bytes(orjson.dumps(config))
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _text() -> bytes:
    table = np.random.default_rng(3).standard_normal((len(WORDS), WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["token_embeddings"]),
        helper.make_node("ReduceMean", ["token_embeddings"], ["text_embeds"], axes=[1], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "s"])]
    outputs = [helper.make_tensor_value_info("text_embeds", TensorProto.FLOAT, ["b", WIDTH])]
    weights = [numpy_helper.from_array(table, "table")]
    return _serialised(helper.make_graph(nodes, "text", inputs, outputs, weights))


def _vision() -> bytes:
    half = EDGE // 2
    nodes = [
        helper.make_node(
            "AveragePool",
            ["pixel_values"],
            ["quarters"],
            kernel_shape=[half] * 2,
            strides=[half] * 2,
        ),
        helper.make_node("Flatten", ["quarters"], ["image_embeds"], axis=1),
    ]
    shape: list[str | int] = ["b", 3, EDGE, EDGE]
    inputs = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("image_embeds", TensorProto.FLOAT, ["b", WIDTH])]
    return _serialised(helper.make_graph(nodes, "vision", inputs, outputs))


def _serialised(graph: object) -> bytes:
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)  # type: ignore[arg-type]
    raw: bytes = model.SerializeToString()
    return raw
