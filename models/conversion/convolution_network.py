"""Converts a convolution network: axes to NCHW, and rewritten to run fast on onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import TensorProto

from .channel_layout import ChannelLayout, FloatArray
from .onnx_graph import OnnxGraph
from .prelu import layout_after_relu
from .tflite_graph import Operator, TfliteGraph

_NO_ACTIVATION = schema.ActivationFunctionType.NONE
_RELU = schema.ActivationFunctionType.RELU
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_READERS_OF_PLAIN_CHANNELS = ("CONCATENATION", "DEPTH_TO_SPACE", "RESHAPE")

Pads = tuple[int, int, int, int]
"""Top, left, bottom, right: ONNX's order."""
_NO_PADS: Pads = (0, 0, 0, 0)


@dataclass(frozen=True)
class Rewriting:
    """How a network is rewritten. The default changes nothing but the order of the axes."""

    channel_multiple: int = 1
    """Pad channels with zeros to a multiple of this."""
    replace_prelu: bool = False
    """Write PReLU as in prelu.py, and in two parts where channel_multiple has room for both."""


@dataclass(frozen=True)
class Scaling:
    """What the TFLite network reads for a byte of an image: (byte - zero) * step."""

    zero: float
    step: float

    @classmethod
    def to_range(cls, low: float, high: float) -> Scaling:
        """0 becomes ``low`` and 255 ``high``."""
        step = (high - low) / 255
        return cls(zero=-low / step, step=step)

    def apply(self, image: NDArray[np.uint8]) -> FloatArray:
        """Return what the TFLite network reads for an image."""
        return (image.astype(np.float32) - np.float32(self.zero)) * np.float32(self.step)


@dataclass(frozen=True)
class Value:
    """A result in the ONNX graph: [batch, kept channels, height, width].

    ``pads`` is a border of zeros that the TFLite tensor has and this one does not have yet: the
    convolution that reads it adds it. ``interleaved``: this one is [batch, 1, height, width *
    channels], as images lie in memory.
    """

    name: str
    layout: ChannelLayout
    pads: Pads = _NO_PADS
    interleaved: bool = False


class ConvolutionNetwork:
    """Writes each operator of a TFLite graph to an ONNX graph.

    Results go from NHWC to NCHW at no cost: it is only the weights' axes that change. The results
    of RESHAPE have three axes, [batch, cells, values], the same in both.

    The image stays as it is in memory, and the first convolution reads it so: as one plane with
    rows three times as long, in steps three times as wide. onnxruntime goes through its result once
    for each plane that it reads, so this is faster than planes, and no planes have to be made.
    """

    def __init__(self, graph: TfliteGraph, rewriting: Rewriting, scaling: Scaling) -> None:
        self._graph = graph
        self._scaling = scaling
        self._rewriting = rewriting
        self._onnx = OnnxGraph()
        self._values: dict[int, Value] = {}
        self._handlers: dict[str, Callable[[Operator], Value]] = {
            "ADD": self._convert_add,
            "CONCATENATION": self._convert_concatenation,
            "CONV_2D": self._convert_convolution,
            "DEPTH_TO_SPACE": self._convert_depth_to_space,
            "DEPTHWISE_CONV_2D": self._convert_depthwise_convolution,
            "MAX_POOL_2D": self._convert_max_pool,
            "PAD": self._convert_pad,
            "PRELU": self._convert_prelu,
            "RELU": self._convert_relu,
            "RESHAPE": self._convert_reshape,
            "RESIZE_BILINEAR": self._convert_resize,
        }

    def convert(
        self,
        input_name: str,
        input_shape: Sequence[int | str],
        outputs: Mapping[str, Sequence[int | str]],
    ) -> OnnxGraph:
        """Write the whole graph.

        ``input_shape`` is [1, height, width, 3]; ``outputs`` are the names and shapes of the
        results, in the order of the graph's outputs.
        """
        (image,) = self._graph.inputs
        self._values[image] = self._read_image(input_name, input_shape)
        for operator in self._graph.operators:
            if operator.kind not in self._handlers:
                raise NotImplementedError(f"TFLite operator {operator.kind}")
            self._values[operator.output] = self._handlers[operator.kind](operator)
        for tensor, (name, shape) in zip(self._graph.outputs, outputs.items(), strict=True):
            self._onnx.add_output(name, self._as_output(tensor), shape)
        return self._onnx

    def _read_image(self, name: str, shape: Sequence[int | str]) -> Value:
        """Make numbers of an input of bytes; the first convolution multiplies them."""
        name = self._onnx.add_input(name, shape, TensorProto.UINT8)
        name = self._onnx.add_node("Cast", [name], to=TensorProto.FLOAT)
        if self._scaling.zero:
            zero = self._onnx.add_constant(np.array(self._scaling.zero, np.float32))
            name = self._onnx.add_node("Sub", [name, zero])
        long_rows = self._onnx.add_constant(np.array([0, 0, -1], np.int64))
        name = self._onnx.add_node("Reshape", [name, long_rows])
        plane = self._onnx.add_constant(np.array([1], np.int64))
        name = self._onnx.add_node("Unsqueeze", [name, plane])
        return Value(name, ChannelLayout.plain(3), interleaved=True)

    # Convolutions

    def _convert_convolution(self, operator: Operator) -> Value:
        data = self._values[operator.inputs[0]]
        weights, bias = (self._graph.constant(tensor) for tensor in operator.inputs[1:])
        weights = weights.transpose(0, 3, 1, 2)  # OHWI to OIHW
        layout = self._layout_to_write(operator)
        weights = layout.written_by(data.layout.read_by(weights))
        bias = layout.written_by(bias)
        name = self._add_convolution(operator, data, weights, bias, groups=1)
        return self._activate(operator, Value(name, layout))

    def _convert_depthwise_convolution(self, operator: Operator) -> Value:
        """Each kept channel is filtered like its origin, and its factor goes into the weights."""
        data = self._values[operator.inputs[0]]
        weights, bias = (self._graph.constant(tensor) for tensor in operator.inputs[1:])
        weights = weights.transpose(3, 0, 1, 2)  # 1HWC to C1HW
        layout = data.layout
        if len(weights) != layout.channels:
            raise NotImplementedError("a depthwise convolution with several outputs per channel")
        weights = layout.spread(weights) * layout.factor.reshape(-1, 1, 1, 1)
        bias = (layout.spread(bias) / layout.parts).astype(np.float32)
        name = self._add_convolution(operator, data, weights, bias, groups=layout.kept)
        return self._activate(operator, Value(name, layout.without_factors()))

    def _add_convolution(
        self, operator: Operator, data: Value, weights: FloatArray, bias: FloatArray, groups: int
    ) -> str:
        options = operator.options
        kernel = weights.shape[2:]
        strides = (options.strideH, options.strideW)
        dilations = (options.dilationHFactor, options.dilationWFactor)
        if dilations != (1, 1):
            raise NotImplementedError("a dilated convolution")
        pads = data.pads
        if options.padding == schema.Padding.SAME:
            if pads != _NO_PADS:
                raise NotImplementedError("padding on a padded tensor")
            pads = self._same_pads(operator.inputs[0], kernel, strides)
        if data.interleaved:
            channels = data.layout.channels
            weights = _interleaved(weights) * np.float32(self._scaling.step)
            strides = (strides[0], channels * strides[1])
            pads = (pads[0], channels * pads[1], pads[2], channels * pads[3])
        return self._onnx.add_node(
            "Conv",
            [data.name, self._onnx.add_constant(weights), self._onnx.add_constant(bias)],
            kernel_shape=weights.shape[2:],
            strides=strides,
            pads=pads,
            group=groups,
        )

    def _layout_to_write(self, operator: Operator) -> ChannelLayout:
        """Choose the layout of a convolution's result to suit what reads it."""
        tensor = operator.output
        channels = self._graph.shape(tensor)[3]
        readers = self._graph.readers(tensor)
        if tensor in self._graph.outputs or any(
            reader.kind in _READERS_OF_PLAIN_CHANNELS for reader in readers
        ):
            return ChannelLayout.plain(channels)
        if [reader.kind for reader in readers] == ["ADD"]:
            (other,) = (term for term in readers[0].inputs if term != tensor)
            if other in self._values and self._values[other].layout.is_complete:
                return self._values[other].layout
        if self._has_room_for_parts(channels) and [reader.kind for reader in readers] == ["PRELU"]:
            readers = self._graph.readers(readers[0].output)
            if all(reader.kind in _CONVOLUTIONS for reader in readers):
                return ChannelLayout.mirrored(channels)
        return ChannelLayout.padded(channels, self._rewriting.channel_multiple)

    def _has_room_for_parts(self, channels: int) -> bool:
        return self._rewriting.replace_prelu and self._rewriting.channel_multiple == 2 * channels

    # Activations

    def _activate(self, operator: Operator, value: Value) -> Value:
        """Apply the activation that is part of a TFLite operator."""
        activation = operator.options.fusedActivationFunction
        if activation == _NO_ACTIVATION:
            return value
        if activation != _RELU:
            raise NotImplementedError(f"activation {activation}")
        return self._relu(value)

    def _relu(self, value: Value) -> Value:
        if not value.layout.is_as_published:
            raise NotImplementedError("ReLU of a channel kept in parts")
        return Value(self._onnx.add_node("Relu", [value.name]), value.layout)

    def _convert_relu(self, operator: Operator) -> Value:
        return self._relu(self._values[operator.inputs[0]])

    def _convert_prelu(self, operator: Operator) -> Value:
        value = self._values[operator.inputs[0]]
        slopes = self._graph.constant(operator.inputs[1]).reshape(-1)
        if not self._rewriting.replace_prelu:
            slope = self._onnx.add_constant(value.layout.spread(slopes).reshape(-1, 1, 1))
            return Value(self._onnx.add_node("PRelu", [value.name, slope]), value.layout)
        if value.layout.has_parts:
            name = self._onnx.add_node("Relu", [value.name])
            return Value(name, layout_after_relu(slopes, value.layout))

        minus_one = np.full(value.layout.kept, -1, np.float32)
        below = self._onnx.add_node("Relu", [self._scale_channels(value.name, minus_one)])
        bent = self._scale_channels(below, value.layout.spread(1 - slopes))
        return Value(self._onnx.add_node("Add", [bent, value.name]), value.layout)

    def _scale_channels(self, name: str, factors: FloatArray) -> str:
        """Multiply each channel by its factor, as a depthwise 1x1 convolution."""
        weights = self._onnx.add_constant(factors.reshape(-1, 1, 1, 1))
        return self._onnx.add_node("Conv", [name, weights], kernel_shape=(1, 1), group=len(factors))

    # Everything else

    def _convert_add(self, operator: Operator) -> Value:
        first, second = (self._values[tensor] for tensor in operator.inputs)
        if not first.layout.same_as(second.layout):
            if second.layout.is_complete:
                first = self._in_layout(first, second.layout)
            else:
                second = self._in_layout(second, first.layout)
        name = self._onnx.add_node("Add", [first.name, second.name])
        return self._activate(operator, Value(name, first.layout))

    def _convert_max_pool(self, operator: Operator) -> Value:
        options = operator.options
        value = self._values[operator.inputs[0]]
        if not value.layout.is_as_published:
            raise NotImplementedError("the maximum of a channel kept in parts")
        kernel = (options.filterHeight, options.filterWidth)
        strides = (options.strideH, options.strideW)
        pads = _NO_PADS
        if options.padding == schema.Padding.SAME:
            pads = self._same_pads(operator.inputs[0], kernel, strides)
        name = self._onnx.add_node(
            "MaxPool", [value.name], kernel_shape=kernel, strides=strides, pads=pads
        )
        return self._activate(operator, Value(name, value.layout))

    def _convert_pad(self, operator: Operator) -> Value:
        """Zeros round the image are left to the next convolution, zero channels to the layout."""
        value = self._values[operator.inputs[0]]
        amounts = self._graph.constant(operator.inputs[1])
        batch, rows, columns, channels = ((int(low), int(high)) for low, high in amounts)
        if batch != (0, 0) or channels[0] != 0 or value.pads != _NO_PADS:
            raise NotImplementedError("padding of the batch, or before the first channel")
        if rows == columns == (0, 0):
            layout = value.layout.extended(value.layout.channels + channels[1])
            return Value(value.name, layout)
        if channels != (0, 0) or any(
            reader.kind not in _CONVOLUTIONS for reader in self._graph.readers(operator.output)
        ):
            raise NotImplementedError("padding that no convolution can take over")
        return replace(value, pads=(rows[0], columns[0], rows[1], columns[1]))

    def _convert_resize(self, operator: Operator) -> Value:
        options = operator.options
        if options.alignCorners or not options.halfPixelCenters:
            raise NotImplementedError("resizing by another rule than half-pixel centers")
        value = self._values[operator.inputs[0]]
        before = self._graph.shape(operator.inputs[0])
        after = self._graph.shape(operator.output)
        scales = np.array([1, 1, after[1] / before[1], after[2] / before[2]], np.float32)
        name = self._onnx.add_node(
            "Resize",
            [value.name, "", self._onnx.add_constant(scales)],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        return Value(name, value.layout)

    def _convert_depth_to_space(self, operator: Operator) -> Value:
        name = self._onnx.add_node(
            "DepthToSpace",
            [self._plain(operator.inputs[0])],
            blocksize=operator.options.blockSize,
            mode="DCR",
        )
        return Value(name, ChannelLayout.plain(self._graph.shape(operator.output)[3]))

    def _convert_reshape(self, operator: Operator) -> Value:
        """From an image to [batch, cells, values]; a cell's values are neighbors in NHWC."""
        shape = self._graph.shape(operator.output)
        if len(shape) != 3 or shape[0] != 1:
            raise NotImplementedError(f"a reshape to {shape}")
        image = self._plain(operator.inputs[0])
        transposed = self._onnx.add_node("Transpose", [image], perm=(0, 2, 3, 1))
        target = self._onnx.add_constant(np.array([1, -1, shape[2]], np.int64))
        name = self._onnx.add_node("Reshape", [transposed, target])
        return Value(name, ChannelLayout.plain(shape[2]))

    def _convert_concatenation(self, operator: Operator) -> Value:
        if len(self._graph.shape(operator.output)) != 3:
            raise NotImplementedError("a concatenation of images")
        values = [self._values[tensor] for tensor in operator.inputs]
        names = [value.name for value in values]
        name = self._onnx.add_node("Concat", names, axis=operator.options.axis)
        return Value(name, values[0].layout)

    # Layouts and sizes

    def _plain(self, tensor: int) -> str:
        """Return the tensor with its own channels, for what leaves the blocked layout."""
        value = self._values[tensor]
        return self._in_layout(value, ChannelLayout.plain(value.layout.channels)).name

    def _in_layout(self, value: Value, wanted: ChannelLayout) -> Value:
        """Bring a value into another layout, by a 1x1 convolution if they differ.

        onnxruntime fuses an addition that follows into the convolution.
        """
        if value.layout.same_as(wanted):
            return value
        identity = np.eye(wanted.channels, dtype=np.float32).reshape(
            wanted.channels, wanted.channels, 1, 1
        )
        weights = self._onnx.add_constant(wanted.written_by(value.layout.read_by(identity)))
        name = self._onnx.add_node("Conv", [value.name, weights], kernel_shape=(1, 1))
        return Value(name, wanted, value.pads)

    def _as_output(self, tensor: int) -> str:
        """Return an output of the graph; an image of one pixel becomes [batch, channels]."""
        shape = self._graph.shape(tensor)
        if len(shape) == 3:
            return self._values[tensor].name
        if shape[1:3] != (1, 1):
            raise NotImplementedError(f"an output of shape {shape}")
        return self._onnx.add_node("Flatten", [self._plain(tensor)], axis=1)

    def _same_pads(self, tensor: int, kernel: Sequence[int], strides: Sequence[int]) -> Pads:
        """TFLite's SAME: as much as the last window needs, the odd pixel below and to the right."""
        sizes = self._graph.shape(tensor)[1:3]
        totals = [
            max((-(-size // stride) - 1) * stride + length - size, 0)
            for size, length, stride in zip(sizes, kernel, strides, strict=True)
        ]
        rows, columns = totals
        return (rows // 2, columns // 2, rows - rows // 2, columns - columns // 2)


def _interleaved(weights: FloatArray) -> FloatArray:
    """Turn weights [output, input, rows, columns] into [output, 1, rows, columns * input]."""
    outputs, _, rows, _ = weights.shape
    return np.ascontiguousarray(weights.transpose(0, 2, 3, 1)).reshape(outputs, 1, rows, -1)
