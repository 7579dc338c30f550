"""Converts the blendshape model: an MLP-Mixer on 146 landmarks.

It has no image in it, so axes stay in TFLite's order. Its convolutions are 1x1, that is, matrix
products over the last axis.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .onnx_graph import OnnxGraph
from .tflite_graph import Operator, TfliteGraph

_ACTIVATIONS = {
    schema.ActivationFunctionType.NONE: None,
    schema.ActivationFunctionType.RELU: "Relu",
}


class BlendshapeNetwork:
    """Writes each operator of a TFLite graph to an ONNX graph, axes unchanged."""

    def __init__(self, graph: TfliteGraph) -> None:
        self._graph = graph
        self._onnx = OnnxGraph()
        self._values: dict[int, str] = {}
        self._handlers: dict[str, Callable[[Operator], str]] = {
            "ADD": self._convert_arithmetic,
            "CONCATENATION": self._convert_concatenation,
            "CONV_2D": self._convert_matrix_product,
            "DIV": self._convert_arithmetic,
            "LOGISTIC": lambda operator: self._convert_function(operator, "Sigmoid"),
            "MEAN": self._convert_mean,
            "MUL": self._convert_arithmetic,
            "NEG": lambda operator: self._convert_function(operator, "Neg"),
            "RESHAPE": self._convert_reshape,
            "RSQRT": self._convert_reciprocal_square_root,
            "SQRT": lambda operator: self._convert_function(operator, "Sqrt"),
            "SQUARED_DIFFERENCE": self._convert_squared_difference,
            "STRIDED_SLICE": self._convert_slice,
            "SUB": self._convert_arithmetic,
            "SUM": self._convert_sum,
            "TRANSPOSE": self._convert_transpose,
        }

    def convert(self, input_name: str, output_name: str) -> OnnxGraph:
        """Write the whole graph, which has one input and one output."""
        (graph_input,) = self._graph.inputs
        (graph_output,) = self._graph.outputs
        self._values[graph_input] = self._onnx.add_input(input_name, self._graph.shape(graph_input))
        for operator in self._graph.operators:
            if operator.kind not in self._handlers:
                raise NotImplementedError(f"TFLite operator {operator.kind}")
            self._values[operator.output] = self._handlers[operator.kind](operator)
        self._onnx.add_output(
            output_name, self._values[graph_output], self._graph.shape(graph_output)
        )
        return self._onnx

    def _value(self, tensor: int) -> str:
        if tensor not in self._values:
            self._values[tensor] = self._onnx.add_constant(self._graph.constant(tensor))
        return self._values[tensor]

    def _integers(self, tensor: int) -> list[int]:
        return [int(value) for value in self._graph.constant(tensor).reshape(-1)]

    def _int64(self, values: list[int]) -> str:
        return self._onnx.add_constant(np.array(values, np.int64))

    def _convert_arithmetic(self, operator: Operator) -> str:
        if operator.options.fusedActivationFunction != schema.ActivationFunctionType.NONE:
            raise NotImplementedError(f"{operator.kind} with an activation")
        names = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div"}
        inputs = [self._value(tensor) for tensor in operator.inputs]
        return self._onnx.add_node(names[operator.kind], inputs)

    def _convert_function(self, operator: Operator, name: str) -> str:
        return self._onnx.add_node(name, [self._value(operator.inputs[0])])

    def _convert_reciprocal_square_root(self, operator: Operator) -> str:
        return self._onnx.add_node("Reciprocal", [self._convert_function(operator, "Sqrt")])

    def _convert_squared_difference(self, operator: Operator) -> str:
        inputs = [self._value(tensor) for tensor in operator.inputs]
        difference = self._onnx.add_node("Sub", inputs)
        return self._onnx.add_node("Mul", [difference, difference])

    def _convert_mean(self, operator: Operator) -> str:
        data, axes = operator.inputs
        return self._onnx.add_node(
            "ReduceMean",
            [self._value(data)],
            axes=self._integers(axes),
            keepdims=int(operator.options.keepDims),
        )

    def _convert_sum(self, operator: Operator) -> str:
        data, axes = operator.inputs
        return self._onnx.add_node(
            "ReduceSum",
            [self._value(data), self._int64(self._integers(axes))],
            keepdims=int(operator.options.keepDims),
        )

    def _convert_matrix_product(self, operator: Operator) -> str:
        data, weights, bias = operator.inputs
        matrix = self._graph.constant(weights)  # [output, 1, 1, input]
        if matrix.shape[1:3] != (1, 1):
            raise NotImplementedError("a convolution larger than 1x1 in the blendshape model")
        product = self._onnx.add_node(
            "MatMul", [self._value(data), self._onnx.add_constant(matrix[:, 0, 0, :].T)]
        )
        result = self._onnx.add_node("Add", [product, self._value(bias)])
        activation = _ACTIVATIONS[operator.options.fusedActivationFunction]
        return result if activation is None else self._onnx.add_node(activation, [result])

    def _convert_concatenation(self, operator: Operator) -> str:
        inputs = [self._value(tensor) for tensor in operator.inputs]
        return self._onnx.add_node("Concat", inputs, axis=operator.options.axis)

    def _convert_reshape(self, operator: Operator) -> str:
        shape = self._int64(list(self._graph.shape(operator.output)))
        return self._onnx.add_node("Reshape", [self._value(operator.inputs[0]), shape])

    def _convert_transpose(self, operator: Operator) -> str:
        data, order = operator.inputs
        return self._onnx.add_node("Transpose", [self._value(data)], perm=self._integers(order))

    def _convert_slice(self, operator: Operator) -> str:
        """STRIDED_SLICE: a set bit in a mask means "from the start", "to the end", "drop axis"."""
        data, begin, end, strides = operator.inputs
        options = operator.options
        if set(self._integers(strides)) != {1} or options.ellipsisMask or options.newAxisMask:
            raise NotImplementedError("a slice with steps, an ellipsis or a new axis")
        sizes = self._graph.shape(data)
        starts = self._integers(begin)
        ends = self._integers(end)
        axes = range(len(sizes))
        starts = [0 if options.beginMask >> axis & 1 else starts[axis] for axis in axes]
        ends = [sizes[axis] if options.endMask >> axis & 1 else ends[axis] for axis in axes]
        dropped = [axis for axis in axes if options.shrinkAxisMask >> axis & 1]
        for axis in dropped:
            ends[axis] = starts[axis] + 1

        result = self._value(data)
        cut = [axis for axis in axes if (starts[axis], ends[axis]) != (0, sizes[axis])]
        if cut:
            bounds = [[starts[axis] for axis in cut], [ends[axis] for axis in cut], cut]
            result = self._onnx.add_node("Slice", [result, *map(self._int64, bounds)])
        if dropped:
            result = self._onnx.add_node("Squeeze", [result, self._int64(dropped)])
        return result
