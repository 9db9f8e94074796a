"""One ONNX graph, ready to run: the only place that knows ONNX Runtime.

It refuses to take more than one core: parallelism comes from threads that each run their own batch
through the same session, which the runtime allows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as runtime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from services.models.faults import ModelUnavailable

# Warnings about how a graph was optimised are for nobody; errors are raised.
ERRORS_ONLY = 3
BROKEN = (
    runtime.capi.onnxruntime_pybind11_state.Fail,
    runtime.capi.onnxruntime_pybind11_state.InvalidArgument,
    runtime.capi.onnxruntime_pybind11_state.InvalidGraph,
    runtime.capi.onnxruntime_pybind11_state.InvalidProtobuf,
    runtime.capi.onnxruntime_pybind11_state.NoSuchFile,
    runtime.capi.onnxruntime_pybind11_state.NotImplemented,
    runtime.capi.onnxruntime_pybind11_state.RuntimeException,
)


class Session:
    """A loaded graph: `inputs` are the names it takes, `shapes` its outputs by name."""

    def __init__(self, model: str, path: Path) -> None:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        # A thread that spins while it waits would take the core from the gateway beside it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except BROKEN as fault:
            raise ModelUnavailable(model, f"{path.name} cannot be loaded: {fault}") from fault
        self.inputs = frozenset(entry.name for entry in self._session.get_inputs())
        self.shapes: dict[str, tuple[Any, ...]] = {
            entry.name: tuple(entry.shape) for entry in self._session.get_outputs()
        }

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The named outputs. Blocks; lets other threads run meanwhile."""
        found: list[NDArray[Any]] = self._session.run(list(outputs), dict(feeds))
        return found
