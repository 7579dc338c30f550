"""Builds an ONNX model node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
"""The oldest that has every operator used here in its present form; onnxruntime 1.16 and later,
OpenVINO and TensorRT all read it."""
IR_VERSION = 8
"""What onnxruntime 1.16 and later read."""

_SMALLEST_HALF_PRECISION = 16
"""A constant of fewer values is stored as it is: the Cast node would take more room."""


class OnnxGraph:
    """Collects nodes and constants, then makes a model of them.

    A value (the result of a node, an input, a constant) is known by its name.
    """

    def __init__(self) -> None:
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._casts: list[onnx.NodeProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []

    def add_input(
        self, name: str, shape: Sequence[int | str], element: int = TensorProto.FLOAT
    ) -> str:
        """Declare an input. A size given as text is free, and known by that name."""
        self._inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def add_node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node with one result, and return the result's name. An input "" is left out."""
        result = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [result], name=result, **attributes))
        return result

    def add_constant(self, values: NDArray[Any]) -> str:
        """Store constant values, and return their name; equal constants are stored once.

        Google stored the weights in float16. They stay so, behind a Cast that every runtime works
        out once when it loads the model: half the size, and the very same numbers. Weights that
        this conversion computed and float16 would round stay in float32.
        """
        values = np.ascontiguousarray(values)
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._constants:
            self._constants[key] = self._store(values, f"constant_{len(self._constants)}")
        return self._constants[key]

    def add_output(self, name: str, value: str, shape: Sequence[int | str]) -> None:
        """Declare the float32 output ``name``, which is the result now called ``value``."""
        for node in self._nodes:
            node.input[:] = [name if used == value else used for used in node.input]
            node.output[:] = [name if made == value else made for made in node.output]
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def make_model(self, graph_name: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Make the model, check it, and attach ``metadata`` (onnxruntime: custom_metadata_map)."""
        graph = helper.make_graph(
            self._casts + self._nodes,
            graph_name,
            self._inputs,
            self._outputs,
            self._initializers,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="maix_facemesh_ros",
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _store(self, values: NDArray[Any], name: str) -> str:
        if values.dtype != np.float32 or values.size < _SMALLEST_HALF_PRECISION:
            self._initializers.append(numpy_helper.from_array(values, name))
            return name
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            self._initializers.append(numpy_helper.from_array(values, name))
            return name
        stored_name = f"{name}_float16"
        self._initializers.append(numpy_helper.from_array(half, stored_name))
        self._casts.append(
            helper.make_node("Cast", [stored_name], [name], name=name, to=TensorProto.FLOAT)
        )
        return name
