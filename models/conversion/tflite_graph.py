"""Reads a TFLite file into the few plain things a converter needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from .sparse_weights import densify

_OPERATOR_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}
_NUMPY_TYPES: dict[int, np.dtype[Any]] = {
    schema.TensorType.FLOAT32: np.dtype(np.float32),
    schema.TensorType.FLOAT16: np.dtype(np.float16),
    schema.TensorType.INT32: np.dtype(np.int32),
}
_WEIGHT_UNPACKING = ("DENSIFY", "DEQUANTIZE")


@dataclass(frozen=True)
class Operator:
    """One step of the graph. ``inputs`` and ``output`` are tensor numbers."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: Any


class TfliteGraph:
    """The operators that lead to the wanted outputs, and the tensors between them.

    The weights are stored as float16, some of them sparse, and DEQUANTIZE and DENSIFY operators
    unpack them. That is done here, so what is left is arithmetic on float32.
    """

    def __init__(self, file_content: bytes, wanted_outputs: Sequence[int]) -> None:
        """Read ``file_content``; ``wanted_outputs`` are positions in the file's list of outputs."""
        model = schema.ModelT.InitFromPackedBuf(file_content, 0)
        (graph,) = model.subgraphs
        self._tensors = graph.tensors
        self._buffers = model.buffers
        self._constants: dict[int, NDArray[Any]] = {}
        self.inputs = [int(tensor) for tensor in graph.inputs]
        self.outputs = [int(graph.outputs[position]) for position in wanted_outputs]

        operators = [self._read_operator(operator, model) for operator in graph.operators]
        for operator in operators:
            if operator.kind in _WEIGHT_UNPACKING:
                self._unpack_weights(operator)
        self.operators = self._needed(
            [operator for operator in operators if operator.kind not in _WEIGHT_UNPACKING]
        )

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape in TFLite's axis order: batch, height, width, channels for an image."""
        shape = self._tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def constant(self, tensor: int) -> NDArray[Any]:
        """Return the values of a tensor that is stored in the file (weights as float32)."""
        if tensor not in self._constants:
            self._constants[tensor] = self._stored_values(tensor)
        return self._constants[tensor]

    def is_constant(self, tensor: int) -> bool:
        """Tell whether the tensor is stored in the file, rather than computed."""
        return tensor in self._constants or self._buffer(tensor) is not None

    def readers(self, tensor: int) -> list[Operator]:
        """Return the operators that take this tensor as an input."""
        return [operator for operator in self.operators if tensor in operator.inputs]

    def _buffer(self, tensor: int) -> NDArray[np.uint8] | None:
        data: NDArray[np.uint8] | None = self._buffers[self._tensors[tensor].buffer].data
        return data

    def _stored_values(self, tensor: int) -> NDArray[Any]:
        data = self._buffer(tensor)
        if data is None:
            raise ValueError(f"tensor {tensor} is computed, not stored in the file")
        record = self._tensors[tensor]
        values = np.frombuffer(data.tobytes(), _NUMPY_TYPES[record.type])
        if record.sparsity is not None:
            return densify(values, self.shape(tensor), record.sparsity)
        return values.reshape(self.shape(tensor))

    def _unpack_weights(self, operator: Operator) -> None:
        values = self.constant(operator.inputs[0])
        self._constants[operator.output] = (
            values.astype(np.float32) if operator.kind == "DEQUANTIZE" else values
        )

    def _needed(self, operators: list[Operator]) -> list[Operator]:
        """Keep the operators on the way to the wanted outputs (they are stored in order)."""
        needed_tensors = set(self.outputs)
        needed: list[Operator] = []
        for operator in reversed(operators):
            if operator.output in needed_tensors:
                needed_tensors.update(operator.inputs)
                needed.append(operator)
        return needed[::-1]

    @staticmethod
    def _read_operator(operator: Any, model: Any) -> Operator:
        code = model.operatorCodes[operator.opcodeIndex]
        # Codes up to 126 stood in an 8-bit field before schema version 3a.
        kind = _OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        (output,) = operator.outputs
        inputs = tuple(int(tensor) for tensor in operator.inputs)
        return Operator(kind, inputs, int(output), operator.builtinOptions)
