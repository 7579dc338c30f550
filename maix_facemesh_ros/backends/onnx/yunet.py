"""YuNet from a user's own ONNX file: face_detection_yunet_2023mar.onnx of opencv_zoo.

Why not OpenCV's cv2.FaceDetectorYN, which runs the same file: it reads it only from OpenCV 4.8 on
(opencv_zoo issue 172), and Ubuntu 22.04 and 24.04, under ROS 2 Humble and Jazzy, have 4.5 and 4.6;
files with a free input size it does not read at all; its thresholds and image size are state of
the object, so two threads cannot share one; and on one thread it takes 2.6 times as long as
onnxruntime (28 against 10.5 ms at 640x640). Where OpenCV can, the tests compare this module with
it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from maix_facemesh_ros.backends.onnx.detection import BoxDetector, Detection, suppress_greedy
from maix_facemesh_ros.backends.onnx.letterbox import ImageInput, letterbox, run_once
from maix_facemesh_ros.backends.onnx.network import CPU, Network, image_planes
from maix_facemesh_ros.backends.onnx.roi import RoiRule
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import ChannelOrder, Image
from maix_facemesh_ros.model_files import ModelError

STRIDES = (8, 16, 32)
KEYPOINTS = 5


class YuNetDetector(BoxDetector):
    """A YuNet network; safe to call from several threads at once.

    Key points are in MaixPy's order: the eye on the image's left, the other eye, nose, the corner
    of the mouth on the image's left, the other corner.
    """

    #: YuNet's box, like YOLO's, is an upright rectangle from the middle of the forehead to the
    #: chin, so its long side carries the size; MediaPipe's ROI around landmarks is 1.3 to 1.45
    #: times that side. Against the official landmarks of three faces 1.3 was best: mean error
    #: 1.45 % of the eye distance (1.6 at MaixPy's 1.2, 1.7 at MediaPipe's 1.5, 3.9 at 1.8).
    roi_rule = RoiRule(scale=1.3, square=True)

    #: A face this wide in the network's input, in pixels, is found ("around 10x10 to 300x300" says
    #: opencv_zoo's README; measured: 12 found, 10 not, and 640 found too); it decides the input's
    #: size where the file leaves that free.
    SMALLEST_FACE = 12
    #: The bars around the image are black, as in OpenCV's padding.
    BAR_COLOR = 0

    def __init__(self, path: Path, provider: str = CPU) -> None:
        """Load the file, and run it once to check its outputs.

        Args:
            path: an .onnx file.
            provider: execution provider.

        Raises:
            BackendError: there is no such provider here.
            ModelError: missing, damaged, or not a YuNet.
        """
        self._network = Network(path, provider=provider)
        self._input = ImageInput.of(self._network)
        outputs, width, height = run_once(self._network)
        if _levels(outputs, width, height) is None:
            raise ModelError(_explain_mismatch(path, outputs, width, height))

    def detect(
        self,
        image: Image,
        *,
        score_threshold: float,
        overlap_threshold: float,
        min_face_size: float,
    ) -> list[Detection]:
        """See `detection.BoxDetector`."""
        width, height = self._input.size_for(image.pixels, min_face_size, self.SMALLEST_FACE)
        frame = letterbox(image.pixels, (width, height), self.BAR_COLOR)
        # The network reads blue first: the opposite of what image_planes makes of the same order.
        swapped: ChannelOrder = "rgb" if image.order == "bgr" else "bgr"
        outputs = self._network.run(image_planes(frame.pixels, swapped, scale=1.0))
        levels = _levels(outputs, width, height)
        if levels is None:
            raise ModelError(_explain_mismatch(self._network.path, outputs, width, height))
        found = [_decode_level(level, score_threshold) for level in levels]
        boxes, scores, keypoints = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return suppress_greedy(
            boxes=frame.to_source(boxes).reshape(-1, 4),
            scores=scores,
            keypoints=frame.to_source(keypoints),
            overlap_threshold=overlap_threshold,
        )


class _Level(NamedTuple):
    """The outputs for the cells of one stride, row by row."""

    stride: int
    #: Cells in a row.
    columns: int
    #: Two of (cells, 1), cls and obj: probabilities of a face, and of the cell being its center.
    probabilities: list[FloatArray]
    #: (cells, 4) center x and y relative to the cell, logarithm of width and height; in cells.
    boxes: FloatArray
    #: (cells, 10) x and y relative to the cell, five times; in cells.
    keypoints: FloatArray


def _levels(outputs: list[FloatArray], width: int, height: int) -> list[_Level] | None:
    """Find the outputs cls, obj, bbox and kps of each stride; None if they are not there.

    Their shapes tell them apart, whatever an exporter named them; only cls and obj share one, and
    their product is all that counts.
    """
    levels = []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        probabilities, boxes, keypoints = (
            [output[0] for output in outputs if output.shape == (1, rows * columns, channels)]
            for channels in (1, 4, 2 * KEYPOINTS)
        )
        if (len(probabilities), len(boxes), len(keypoints)) != (2, 1, 1):
            return None
        levels.append(_Level(stride, columns, probabilities, boxes[0], keypoints[0]))
    return levels


def _decode_level(
    level: _Level, score_threshold: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Decode the confident cells of one stride (OpenCV's modules/objdetect/src/face_detect.cpp).

    Returns:
        (N, 2, 2) left top and right bottom corners in pixels of the network's input, (N,) scores
        0..1, (N, 5, 2) key points in the same pixels.
    """
    first, second = (np.clip(values[:, 0], 0.0, 1.0) for values in level.probabilities)
    all_scores: FloatArray = np.sqrt(first * second)
    chosen = np.flatnonzero(all_scores >= score_threshold)
    cells = np.stack([chosen % level.columns, chosen // level.columns], axis=1).astype(np.float32)

    centers = cells + level.boxes[chosen, :2]
    half_sizes = np.exp(level.boxes[chosen, 2:]) / 2
    corners = np.stack([centers - half_sizes, centers + half_sizes], axis=1)
    keypoints = level.keypoints[chosen].reshape(-1, KEYPOINTS, 2) + cells[:, np.newaxis]
    stride = np.float32(level.stride)
    return (
        np.asarray(corners * stride, np.float32),
        all_scores[chosen],
        np.asarray(keypoints * stride, np.float32),
    )


def _explain_mismatch(path: Path, outputs: list[FloatArray], width: int, height: int) -> str:
    counts = [(height // stride) * (width // stride) for stride in STRIDES]
    found = ", ".join(str(list(output.shape)) for output in outputs)
    expected = ", ".join(
        f"{name} {[1, count, channels]}"
        for name, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 2 * KEYPOINTS))
        for count in counts
    )
    return (
        f"{path} is not a YuNet of 2023 or later. Its outputs for an input of {width}x{height} are "
        f"{found}. Expected: {expected}. Use face_detection_yunet_2023mar.onnx of opencv_zoo"
    )
