"""Runs a TFLite model and the ONNX model made of it on the same inputs, and compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
import skimage.data
import skimage.transform
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Pixels = NDArray[np.uint8]

# scikit-image has no types.
_astronaut: Callable[[], Pixels] = skimage.data.astronaut
_scale: Callable[..., NDArray[np.float64]] = skimage.transform.resize

_FACE_IN_ASTRONAUT = (slice(40, 210), slice(140, 310))
"""Rows and columns of the face, with the margin that the landmark model expects."""
_RANDOM_INPUTS = 4


def face_images(size: int) -> list[Pixels]:
    """Return inputs for the landmark model [1, size, size, 3]: a face, then noise."""
    return _images(_astronaut()[_FACE_IN_ASTRONAUT], size, size)


def whole_images(height: int, width: int) -> list[Pixels]:
    """Return inputs for a detector [1, height, width, 3]: an image, then noise."""
    return _images(_astronaut(), height, width)


def point_sets(count: int) -> list[FloatArray]:
    """Return inputs for the blendshape model [1, count, 2] in pixels: points of any kind."""
    generator = np.random.default_rng(0)
    return [
        (generator.random((1, count, 2), np.float32) * 200 + 100) for _ in range(_RANDOM_INPUTS)
    ]


def run_tflite(
    file_content: bytes, inputs: Sequence[FloatArray], wanted_outputs: Sequence[int]
) -> list[list[FloatArray]]:
    """Return the wanted outputs for each input, as the official runtime computes them.

    That is LiteRT with its XNNPACK kernels, the way MediaPipe itself runs these models on a CPU.
    """
    interpreter = Interpreter(model_content=file_content, num_threads=1)
    image = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(image["index"], inputs[0].shape)
    interpreter.allocate_tensors()
    outputs = [interpreter.get_output_details()[position] for position in wanted_outputs]
    answers = []
    for values in inputs:
        interpreter.set_tensor(image["index"], values)
        interpreter.invoke()
        answers.append([interpreter.get_tensor(output["index"]) for output in outputs])
    return answers


def run_onnx(
    model: bytes, inputs: Sequence[NDArray[Any]], output_names: Sequence[str]
) -> list[list[FloatArray]]:
    """Return the named outputs for each input."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (graph_input,) = session.get_inputs()
    return [session.run(list(output_names), {graph_input.name: values}) for values in inputs]


def largest_differences(
    expected: Sequence[Sequence[FloatArray]],
    found: Sequence[Sequence[FloatArray]],
    output_names: Sequence[str],
) -> dict[str, float]:
    """Return the largest difference of each output, over all inputs."""
    return {
        name: max(
            float(np.abs(one[position].reshape(other[position].shape) - other[position]).max())
            for one, other in zip(expected, found, strict=True)
        )
        for position, name in enumerate(output_names)
    }


def excessive(differences: Mapping[str, float], tolerances: Mapping[str, float]) -> list[str]:
    """Name the outputs that differ by more than their tolerance (or by no number at all)."""
    return [name for name, value in differences.items() if not value <= tolerances[name]]


def full_range_at(file_content: bytes, height: int, width: int) -> bytes:
    """Make the TFLite full-range detector take an input of another size, to compare with.

    The network is fully convolutional. All that fixes its size are the lists of sizes in the file:
    three upsamplings and the two final reshapes.
    """
    edited = bytearray(file_content)
    model = schema.Model.GetRootAs(edited)
    graph = model.Subgraphs(0)
    _, old_height, old_width, _ = graph.Tensors(graph.Inputs(0)).ShapeAsNumpy()
    for sizes in _size_lists(model, schema.BuiltinOperator.RESIZE_BILINEAR):
        sizes[:] = sizes * (height, width) // (old_height, old_width)
    for sizes in _size_lists(model, schema.BuiltinOperator.RESHAPE):
        sizes[1] = -1
    return bytes(edited)


def _images(image: Pixels, height: int, width: int) -> list[Pixels]:
    """Return the image scaled to [1, height, width, 3], then noise of that shape."""
    scaled = _scale(image, (height, width), anti_aliasing=True, preserve_range=True)
    shape = (_RANDOM_INPUTS, 1, height, width, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return [np.round(scaled).astype(np.uint8)[np.newaxis], *noise]


def _size_lists(model: Any, code: int) -> list[NDArray[np.int32]]:
    """Return the second inputs of all operators of a kind: writable, in place in the file."""
    graph = model.Subgraphs(0)
    operators = [graph.Operators(number) for number in range(graph.OperatorsLength())]
    return [
        model.Buffers(graph.Tensors(operator.Inputs(1)).Buffer()).DataAsNumpy().view(np.int32)
        for operator in operators
        if model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode() == code
    ]
