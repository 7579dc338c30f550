"""Detections of a face detector, and suppression of overlapping ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.backends.onnx.roi import RoiRule
from maix_facemesh_ros.backends.onnx.search import SearchArea
from maix_facemesh_ros.face import Box, FloatArray
from maix_facemesh_ros.image import Image
from maix_facemesh_ros.image_rotation import turn_box_back, turn_keypoints_back


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One detected face, in pixels of the source image."""

    #: x, y, width, height; may reach over the image's edge.
    box: Box
    #: Confidence, 0..1.
    score: float
    #: (K, 2) the detector's key points; the first two are the eyes, the one on the image's left
    #: first.
    keypoints: FloatArray

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return self.box[2] * self.box[3]


class BoxDetector(Protocol):
    """A network that finds face boxes, with the rule that turns its boxes into ROIs.

    A detector that derives from it without `areas` and `search` searches whole images only.
    """

    roi_rule: RoiRule

    def detect(
        self,
        image: Image,
        *,
        score_threshold: float,
        overlap_threshold: float,
        min_face_size: float,
    ) -> list[Detection]:
        """Return the faces in an image, most confident first.

        Args:
            score_threshold: least confidence, 0..1.
            overlap_threshold: boxes that overlap more than this (intersection over union) are one
                face.
            min_face_size: smallest face to find, as a fraction of the image's width; a detector
                with a fixed input does not use it.
        """
        ...

    def areas(
        self,
        size: tuple[int, int],  # noqa: ARG002
        min_face_size: float,  # noqa: ARG002
    ) -> Sequence[SearchArea]:
        """Return the parts in which an image can be searched, the coarsest level first.

        Args:
            size: width and height of the image in pixels.
            min_face_size: smallest face to find, as a fraction of the image's width.

        Returns:
            The areas; an empty sequence from a detector that searches whole images only.
        """
        return ()

    def search(
        self,
        image: Image,  # noqa: ARG002
        areas: Sequence[SearchArea],
        quarters: int = 0,  # noqa: ARG002
        *,
        score_threshold: float,  # noqa: ARG002
        overlap_threshold: float,  # noqa: ARG002
    ) -> list[Detection]:
        """Return the faces in some of the `areas`, most confident first.

        Args:
            image: as it is.
            areas: some of them.
            quarters: clockwise quarter turns of what the network is given, 0 to 3.
            score_threshold: as in `detect`.
            overlap_threshold: as in `detect`.

        Returns:
            Boxes and key points in pixels of the image as it is.
        """
        assert not areas, "a detector that has areas searches them"
        return []


def turn_detection_back(detection: Detection, quarters: int, size: tuple[int, int]) -> Detection:
    """Bring a detection of a turned image back into the image as it was.

    Args:
        detection: in pixels of the turned image.
        quarters: clockwise quarter turns of the image, 0 to 3.
        size: width and height in pixels of the image as it was.
    """
    if quarters == 0:
        return detection
    box = turn_box_back(detection.box, quarters, size)
    return Detection(box, detection.score, turn_keypoints_back(detection.keypoints, quarters, size))


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)), safe for large |x|."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0))), np.float32)


def logit(probability: float) -> float:
    """Return the inverse of `sigmoid`: one threshold for it spares thousands of exponentials."""
    with np.errstate(divide="ignore"):
        return float(np.log(probability) - np.log1p(-probability))


def suppress_weighted(
    boxes: FloatArray, scores: FloatArray, keypoints: FloatArray, overlap_threshold: float
) -> list[Detection]:
    """Blend boxes that overlap the best one, weighted by score.

    This is MediaPipe's WEIGHTED non-maximum suppression
    (mediapipe/calculators/util/non_max_suppression_calculator.cc).

    Args:
        boxes: (N, 4) left, top, right, bottom in pixels.
        scores: (N,) 0..1.
        keypoints: (N, K, 2) pixels.
        overlap_threshold: intersection over union above which a box belongs to the best one.
    """
    values = np.concatenate([boxes, keypoints.reshape(len(boxes), -1)], axis=1).astype(np.float64)
    detections = []
    for cluster in _clusters(boxes, scores, overlap_threshold):
        weights = scores[cluster].astype(np.float64)
        blended = weights @ values[cluster] / weights.sum()
        detections.append(_detection(blended[:4], float(scores[cluster[0]]), blended[4:]))
    return detections


def suppress_greedy(
    boxes: FloatArray, scores: FloatArray, keypoints: FloatArray, overlap_threshold: float
) -> list[Detection]:
    """Keep the best box of each group of overlapping ones (YOLO's and OpenCV's suppression).

    Args and result as `suppress_weighted`.
    """
    return [
        _detection(boxes[cluster[0]], float(scores[cluster[0]]), keypoints[cluster[0]])
        for cluster in _clusters(boxes, scores, overlap_threshold)
    ]


def _clusters(
    boxes: FloatArray, scores: FloatArray, overlap_threshold: float
) -> list[npt.NDArray[np.intp]]:
    """Group boxes around the most confident ones; each group's indices start with its best."""
    remaining = np.argsort(-scores, kind="stable")
    clusters = []
    while len(remaining):
        belongs = _overlaps(boxes[remaining[0]], boxes[remaining]) > overlap_threshold
        belongs[0] = True
        clusters.append(remaining[belongs])
        remaining = remaining[~belongs]
    return clusters


def _overlaps(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """Return the intersection over union of one box (4,) with each of (N, 4), as corners."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    intersection = np.clip(sides, 0.0, None).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - intersection
    return np.asarray(intersection / np.maximum(union, np.finfo(np.float32).tiny), np.float32)


def _detection(
    box: npt.NDArray[np.floating], score: float, keypoints: npt.NDArray[np.floating]
) -> Detection:
    left, top, right, bottom = (float(value) for value in box)
    return Detection(
        (left, top, right - left, bottom - top), score, keypoints.reshape(-1, 2).astype(np.float32)
    )
