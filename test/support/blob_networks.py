"""ONNX files with the inputs and outputs of real face detectors, whose faces are blobs of color.

The weights of YOLOv8-face are GPL and YuNet is in no package registry, so the tests build networks
that process the image and answer with faces that can be computed by hand: a square red blob is a
face. All measures are in sides of the blob, so they hold at any scale of the image:

- the box reaches 4 to the left and right of the blob's center, 5 up and 6 down;
- `KEYPOINTS` are where the key points are;
- the score is sigmoid(10 * brightness - 5), brightness 0..1;
- with green in the red the nose is seen, without it is not (for networks that can say so).

Each stride sees blobs of half its size to its size in the network's input. It finds their center by
the first moments of the color around a cell, so boxes and key points do not move in whole cells.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from maix_facemesh_ros.backends.onnx.detection import BoxDetector, Detection
from maix_facemesh_ros.image import Image, Pixels, Stamp

STRIDES = (8, 16, 32)
#: Left, top, right, bottom of the box: distances from the blob's center.
BOX_REACH = (4.0, 5.0, 4.0, 6.0)
#: Eye, eye, nose, mouth corner, mouth corner in MaixPy's order; from the blob's center.
KEYPOINTS = ((-1.5, -1.0), (1.75, -1.25), (0.25, 0.5), (-1.0, 2.0), (1.25, 2.25))
NOSE = 2

Floats = npt.NDArray[np.float64]


def paint_blob(
    image: Pixels,
    center: tuple[float, float],
    side: int,
    brightness: float = 1.0,
    green: bool = True,
) -> None:
    """Paint a blob that is a face into an RGB image; its edges must fall on whole pixels."""
    left, top = (int(place - side / 2) for place in center)
    assert (left + side / 2, top + side / 2) == tuple(center)
    value = round(brightness * 255)
    image[max(top, 0) : top + side, max(left, 0) : left + side] = (value, value * green, 0)


def face_box(center: tuple[float, float], side: float) -> tuple[float, float, float, float]:
    """Return x, y, width, height of a blob's face."""
    left, top, right, bottom = (reach * side for reach in BOX_REACH)
    return center[0] - left, center[1] - top, left + right, top + bottom


def face_keypoints(center: tuple[float, float], side: float) -> Floats:
    """Return the (5, 2) key points of a blob's face."""
    return np.array(center) + np.array(KEYPOINTS) * side


def face_score(brightness: float) -> float:
    """Return the score of a blob's face."""
    return float(1 / (1 + np.exp(5 - 10 * brightness)))


class Graph:
    """An ONNX graph under construction; every method returns the name of what it adds."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._numbers = itertools.count()

    def constant(self, value: npt.ArrayLike, kind: type = np.float32) -> str:
        name = f"constant{next(self._numbers)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def node(self, operator: str, *inputs: str | float, **attributes: Any) -> str:
        """Add a node of one output; numbers among the inputs become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        output = f"{operator}{next(self._numbers)}"
        self._nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def split(self, value: str, sizes: list[int], axis: int = 1) -> list[str]:
        outputs = [f"part{next(self._numbers)}" for _ in sizes]
        inputs = [value, self.constant(sizes, np.int64)]
        self._nodes.append(helper.make_node("Split", inputs, outputs, axis=axis))
        return outputs

    def reshape(self, value: str, *shape: int) -> str:
        return self.node("Reshape", value, self.constant(shape, np.int64))

    def concat(self, *values: str, axis: int = 1) -> str:
        return self.node("Concat", *values, axis=axis)

    def save(
        self,
        path: Path,
        input_shape: tuple[int | str, ...],
        outputs: dict[str, tuple[str, tuple[int | str, ...]]],
        input_name: str = "images",
        input_type: int = TensorProto.FLOAT,
    ) -> Path:
        """Write the file; `outputs` maps the outputs' names to values and declared shapes."""
        for name, (value, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self._nodes,
            "blobs",
            [helper.make_tensor_value_info(input_name, input_type, input_shape)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, (_, shape) in outputs.items()
            ],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


class BlobView:
    """What the cells of one stride see; every value is (1, 1, rows, columns)."""

    def __init__(self, graph: Graph, image: str, stride: int, red: int, peak_value: float) -> None:
        """Add the nodes that look for blobs.

        Args:
            graph: what to add to.
            image: the input's name.
            stride: pixels between cells.
            red: the input channel that is red, 0 in RGB and 2 in BGR.
            peak_value: the input's value for full brightness.
        """
        self.graph, self.stride = graph, stride
        blue = 2 - red
        # Less blue: the gray and black bars around the image, and blue blobs, are nothing.
        redness = self._channel_difference(image, red, blue, peak_value)
        greenness = self._channel_difference(image, 1, blue, peak_value)

        ramp = (np.arange(3 * stride) + 0.5) / stride - 1.5
        kernels = np.stack([np.ones((3 * stride,) * 2), *np.meshgrid(ramp, ramp)])[:, np.newaxis]
        window = {"strides": [stride] * 2, "pads": [stride] * 4, "kernel_shape": [3 * stride] * 2}
        moments = graph.node("Conv", redness, graph.constant(kernels), **window)
        mass, moment_x, moment_y = graph.split(moments, [1, 1, 1])
        mass = graph.node("Max", mass, 1e-3)
        brightness = graph.node("MaxPool", redness, **window)
        green = graph.node("MaxPool", greenness, **window)

        #: The blob's center from the cell's center, in cells.
        self.x = graph.node("Div", moment_x, mass)
        self.y = graph.node("Div", moment_y, mass)
        area = graph.node("Div", mass, graph.node("Max", brightness, 1e-3))
        #: The blob's side in cells.
        self.side = graph.node("Div", graph.node("Sqrt", area), float(stride))
        #: Logits of the score, and of the nose's being seen.
        self.score = self._logit(brightness)
        self.nose = graph.node("Sub", graph.node("Mul", green, 10.0), 5.0)

    def reach(self, center: str, distance: float) -> str:
        """Return center + distance in blobs, in cells."""
        return self.graph.node("Add", center, self.graph.node("Mul", self.side, distance))

    def _channel_difference(self, image: str, plus: int, minus: int, peak_value: float) -> str:
        weights = np.zeros((1, 3, 1, 1))
        weights[0, plus], weights[0, minus] = 1 / peak_value, -1 / peak_value
        return self.graph.node("Relu", self.graph.node("Conv", image, self.graph.constant(weights)))

    def _logit(self, brightness: str) -> str:
        """10 * brightness - 5, and far less where no whole blob of this stride's size is near."""
        graph = self.graph
        off_center = graph.node("Max", graph.node("Abs", self.x), graph.node("Abs", self.y))
        faults = (
            graph.node("Sub", self.side, 1.0),
            graph.node("Sub", graph.constant(0.5), self.side),
            graph.node("Sub", off_center, 0.51),
        )
        logit = graph.node("Sub", graph.node("Mul", brightness, 10.0), 5.0)
        for fault in faults:
            penalty = graph.node("Mul", graph.node("Relu", fault), 400.0)
            logit = graph.node("Sub", logit, penalty)
        return logit


def detect(
    detector: BoxDetector,
    image: Pixels,
    bgr: bool = False,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.45,
    min_face_size: float = 0.05,
) -> list[Detection]:
    return detector.detect(
        Image(image, "bgr" if bgr else "rgb", Stamp(0, 0)),
        score_threshold=score_threshold,
        overlap_threshold=overlap_threshold,
        min_face_size=min_face_size,
    )


def black(width: int, height: int) -> Pixels:
    return np.zeros((height, width, 3), np.uint8)


def assert_face(
    face: Detection,
    center: tuple[float, float],
    side: float,
    brightness: float = 1.0,
    nose_seen: bool = True,
) -> None:
    """The face is the blob's, to a tenth of the blob's side (scaling blurs the blob)."""
    tolerance = 0.1 * side
    np.testing.assert_allclose(face.box, face_box(center, side), rtol=0, atol=2 * tolerance)
    expected = face_keypoints(center, side)
    if not nose_seen:
        expected[NOSE] = -1
    np.testing.assert_allclose(face.keypoints, expected, rtol=0, atol=tolerance)
    assert face.keypoints.dtype == np.float32
    assert face.score == pytest.approx(face_score(brightness), abs=0.02)
