"""YOLOv8-face from a user's own ONNX file: the detector that MaixPy uses on a MaixCAM.

Its weights are GPL-3.0 (derronqi/yolov8-face), so the package does not include any.

The network divides its input into cells at three strides. Each cell has the score of a face
centered there, the distances to the four sides of the face's box, and five key points. Exports
differ in where they stop; all of these are understood, told apart by the shapes of their outputs
(N = cells of all strides together, 8400 for an input of 640x640):

=========================================  =====================================================
outputs                                    made by
=========================================  =====================================================
[1, 20, N]                                 `yolo export format=onnx` of Ultralytics: all decoded
[1, 80, h, w] for each stride              the exporter of derronqi/yolov8-face: raw
[1, 65, h, w] for each stride, [1, 15, N]  MaixPy's guide, cut for MaixCAM2: raw
[1, 1, 4, N], [1, 1, N], [1, 15, N]        MaixPy's guide, cut for MaixCAM: key points raw
=========================================  =====================================================

Channels, in order: box 4 (decoded: center x, center y, width, height in pixels; MaixCAM: distances
to left, top, right, bottom in cells) or 64 (those distances as 16 bins each), score 1, key points
15 (five times x, y, confidence).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maix_facemesh_ros.backends.onnx.detection import (
    BoxDetector,
    Detection,
    logit,
    sigmoid,
    suppress_greedy,
)
from maix_facemesh_ros.backends.onnx.letterbox import ImageInput, letterbox, run_once
from maix_facemesh_ros.backends.onnx.network import CPU, Network, image_planes
from maix_facemesh_ros.backends.onnx.roi import RoiRule
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Image, Pixels
from maix_facemesh_ros.model_files import ModelError

STRIDES = (8, 16, 32)
KEYPOINTS = 5
#: Channels of the key points: x, y, confidence of each.
KEYPOINT_CHANNELS = 3 * KEYPOINTS
#: Bins of the distribution that encodes one distance ("reg_max" in ultralytics' Detect head).
BINS = 16
#: MaixPy's default `keypoint_th`: a key point with lower confidence counts as invisible.
KEYPOINT_THRESHOLD = 0.5
#: x and y of an invisible key point, as in MaixPy.
NOT_SEEN = -1.0


class YoloV8FaceDetector(BoxDetector):
    """A YOLOv8-face network; safe to call from several threads at once.

    Key points are in MaixPy's order: the eye on the image's left, the other eye, nose, the corner
    of the mouth on the image's left, the other corner; (-1, -1) where not seen.
    """

    #: MaixPy's crop_image: a square of the longer side, times 1.2 (maix_nn_face_landmarks.hpp).
    roi_rule = RoiRule(scale=1.2, square=True)

    #: A face this wide in the network's input, in pixels, is found (measured with yolov8-lite-t,
    #: the smallest of the family); it decides the input's size where the file leaves that free.
    SMALLEST_FACE = 16
    #: Gray level of the bars around the image, as in Ultralytics' training. MaixCDK has black;
    #: measured with yolov8-lite-t, scores above 0.5 are the same to 0.005.
    BAR_COLOR = 114

    def __init__(self, path: Path, provider: str = CPU) -> None:
        """Load the file, and run it once to check its outputs.

        Args:
            path: an .onnx file.
            provider: execution provider.

        Raises:
            BackendError: there is no such provider here.
            ModelError: missing, damaged, or not a YOLOv8-face export.
        """
        self._network = Network(path, provider=provider)
        self._input = ImageInput.of(self._network)
        outputs, width, height = run_once(self._network)
        if _decode(outputs, (width, height), score_threshold=1.0) is None:
            raise ModelError(_explain_mismatch(path, outputs, width, height))

    def detect(
        self,
        image: Image,
        *,
        score_threshold: float,
        overlap_threshold: float,
        min_face_size: float,
    ) -> list[Detection]:
        """See `detection.BoxDetector`; boxes end at the image's edge, key points need not."""
        size = self._input.size_for(image.pixels, min_face_size, self.SMALLEST_FACE)
        frame = letterbox(image.pixels, size, self.BAR_COLOR)
        outputs = self._network.run(image_planes(frame.pixels, image.order, scale=1 / 255))
        found = _decode(outputs, size, score_threshold)
        if found is None:
            raise ModelError(_explain_mismatch(self._network.path, outputs, *size))

        keypoints = frame.to_source(found.keypoints[:, :, :2])
        keypoints[found.keypoints[:, :, 2] < KEYPOINT_THRESHOLD] = NOT_SEEN
        detections = suppress_greedy(
            boxes=frame.to_source(found.boxes.reshape(-1, 2, 2)).reshape(-1, 4),
            scores=found.scores,
            keypoints=keypoints,
            overlap_threshold=overlap_threshold,
        )
        clipped = (_clip(detection, image.pixels) for detection in detections)
        return [detection for detection in clipped if detection.area > 0]


class _Candidates(NamedTuple):
    """Faces before suppression, in pixels of the network's input."""

    #: (N, 4) left, top, right, bottom.
    boxes: FloatArray
    #: (N,) 0..1.
    scores: FloatArray
    #: (N, 5, 3) x, y, confidence 0..1.
    keypoints: FloatArray


class _Level(NamedTuple):
    """Raw outputs for the cells of one stride, row by row, before decoding."""

    stride: int
    #: Cells in a row.
    columns: int
    #: (64, cells) bins or (4, cells) distances to left, top, right, bottom, in cells.
    distances: FloatArray
    #: (cells,) logits, or probabilities if the distances are decoded already.
    scores: FloatArray
    #: (15, cells) x, y in half cells, logit of the confidence; five times.
    keypoints: FloatArray


def _decode(
    outputs: list[FloatArray], size: tuple[int, int], score_threshold: float
) -> _Candidates | None:
    """Decode the cells that reach the threshold; None if the outputs are no YOLOv8-face's.

    Args:
        outputs: the network's, with the batch axis.
        size: width, height of the network's input in pixels.
        score_threshold: 0..1.
    """
    head = _decoded_head(outputs, *size)
    if head is not None:
        return _pick_decoded(head, score_threshold)
    levels = _levels(outputs, *size)
    if levels is None:
        return None
    picked = [_decode_level(level, score_threshold) for level in levels]
    return _Candidates(*(np.concatenate(parts) for parts in zip(*picked, strict=True)))


def _pick_decoded(head: FloatArray, score_threshold: float) -> _Candidates:
    """Return the confident faces of a decoded (20, N) head."""
    chosen = head[:, head[4] >= score_threshold].T
    half_sizes = chosen[:, 2:4] / 2
    return _Candidates(
        boxes=np.concatenate([chosen[:, :2] - half_sizes, chosen[:, :2] + half_sizes], axis=1),
        scores=chosen[:, 4],
        keypoints=chosen[:, 5:].reshape(-1, KEYPOINTS, 3),
    )


def _decode_level(level: _Level, score_threshold: float) -> _Candidates:
    """Decode the confident cells of one stride.

    Source: derronqi/yolov8-face, kpts_decode in ultralytics/nn/modules/head.py and dist2bbox in
    ultralytics/yolo/utils/tal.py; the same in maix_nn_yolo11.hpp, the base of MaixCDK's YOLOv8.
    """
    binned = len(level.distances) != 4
    chosen = np.flatnonzero(level.scores >= (logit(score_threshold) if binned else score_threshold))
    scores = level.scores[chosen]
    distances = level.distances[:, chosen].T
    cells = np.stack([chosen % level.columns, chosen // level.columns], axis=1).astype(np.float32)

    if binned:
        scores, distances = sigmoid(scores), _expected_distances(distances)
    centers = cells + 0.5
    boxes = np.concatenate([centers - distances[:, :2], centers + distances[:, 2:]], axis=1)
    keypoints = level.keypoints[:, chosen].T.reshape(-1, KEYPOINTS, 3).copy()
    keypoints[:, :, :2] = (2 * keypoints[:, :, :2] + cells[:, np.newaxis]) * level.stride
    keypoints[:, :, 2] = sigmoid(keypoints[:, :, 2])
    return _Candidates(boxes * level.stride, scores, keypoints)


def _expected_distances(bins: FloatArray) -> FloatArray:
    """Return the (N, 4) means in cells of distributions given as (N, 64) logits.

    Distribution Focal Loss (arXiv 2006.04388): the weights are those of 0, 1, .. 15 cells.
    """
    logits = bins.reshape(-1, 4, BINS)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    means: FloatArray = weights @ np.arange(BINS, dtype=np.float32) / weights.sum(axis=2)
    return means


def _decoded_head(outputs: list[FloatArray], width: int, height: int) -> FloatArray | None:
    """Return the (20, N) head of an Ultralytics export, or None if it is another kind."""
    cells = sum(rows * columns for _, rows, columns in _grids(width, height))
    fits = len(outputs) == 1 and outputs[0].shape == (1, 5 + KEYPOINT_CHANNELS, cells)
    return outputs[0][0] if fits else None


def _levels(outputs: list[FloatArray], width: int, height: int) -> list[_Level] | None:
    """Find the parts of a raw export by their shapes; None if they are not there."""
    by_shape = {output.shape[1:]: output[0] for output in outputs if output.shape[:1] == (1,)}
    grids = list(_grids(width, height))
    counts = [rows * columns for _, rows, columns in grids]
    flat_keypoints = by_shape.get((KEYPOINT_CHANNELS, sum(counts)))
    flat_distances = by_shape.get((1, 4, sum(counts)))
    flat_scores = by_shape.get((1, sum(counts)))

    levels = []
    for level, (stride, rows, columns) in enumerate(grids):
        flat = slice(sum(counts[:level]), sum(counts[: level + 1]))
        whole = by_shape.get((4 * BINS + 1 + KEYPOINT_CHANNELS, rows, columns))
        box_and_score = by_shape.get((4 * BINS + 1, rows, columns))
        if whole is not None:
            bins, score, points = np.split(whole.reshape(len(whole), -1), [4 * BINS, 4 * BINS + 1])
            levels.append(_Level(stride, columns, bins, score[0], points))
        elif flat_keypoints is None:
            return None
        elif box_and_score is not None:
            bins, score = np.split(box_and_score.reshape(len(box_and_score), -1), [4 * BINS])
            levels.append(_Level(stride, columns, bins, score[0], flat_keypoints[:, flat]))
        elif flat_distances is not None and flat_scores is not None:
            distances, score = flat_distances[0][:, flat], flat_scores[:, flat]
            levels.append(_Level(stride, columns, distances, score[0], flat_keypoints[:, flat]))
        else:
            return None
    return levels


def _grids(width: int, height: int) -> Iterator[tuple[int, int, int]]:
    """Yield stride, rows and columns of the cells of an input."""
    for stride in STRIDES:
        yield stride, height // stride, width // stride


def _clip(detection: Detection, image: Pixels) -> Detection:
    """Cut the box off at the image's edge (MaixCDK's _correct_bbox)."""
    height, width = image.shape[:2]
    x, y, box_width, box_height = detection.box
    left, right = (min(max(side, 0.0), width) for side in (x, x + box_width))
    top, bottom = (min(max(side, 0.0), height) for side in (y, y + box_height))
    return replace(detection, box=(left, top, right - left, bottom - top))


def _explain_mismatch(path: Path, outputs: list[FloatArray], width: int, height: int) -> str:
    grids = list(_grids(width, height))
    cells = sum(rows * columns for _, rows, columns in grids)

    def per_stride(channels: int) -> str:
        return ", ".join(f"[1, {channels}, {rows}, {columns}]" for _, rows, columns in grids)

    found = ", ".join(str(list(output.shape)) for output in outputs)
    return (
        f"{path} is not a YOLOv8-face export. Its outputs for an input of {width}x{height} are "
        f"{found}. Expected: [1, 20, {cells}]; or {per_stride(80)}; "
        f"or {per_stride(65)}, [1, 15, {cells}]; or [1, 1, 4, {cells}], [1, 1, {cells}], "
        f"[1, 15, {cells}]. "
        "The network must know one class, face, with 5 key points, and be exported without "
        "non-maximum suppression"
    )
