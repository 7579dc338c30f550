"""The host's networks, in the place of those on the NPU."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.backends.onnx.blazeface import ShortRangeDetector
from maix_facemesh_ros.backends.onnx.detection import Detection, sigmoid
from maix_facemesh_ros.backends.onnx.network import Network, image_bytes
from maix_facemesh_ros.image import Image, Stamp
from maix_facemesh_ros.model_files import find_model

from . import _knobs
from ._native import wait_with_lock

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

#: Width and height of the landmark network's input in pixels.
LANDMARKS_SIZE = 256
LANDMARKS = 478

#: MediaPipe enlarges BlazeFace's box 1.5 times for the landmarks, MaixPy YOLO's box 1.2 times: that
#: is so much higher.
_HEIGHT_OF_BOX = 1.25
#: Half the width of the mouth, as a part of the way from eye to eye.
_HALF_MOUTH = 0.4


class FoundFace(NamedTuple):
    """A face as MaixPy's detector would see it, in pixels of the detector's input."""

    #: Left, top, width, height.
    box: tuple[float, float, float, float]
    score: float
    #: (5, 2): the eyes, the nose, the corners of the mouth; left in the image first.
    keypoints: Floats
    #: How sure the detector is of each key point.
    keypoint_score: float


def find_faces(image: Pixels, conf_th: float, iou_th: float) -> list[FoundFace]:
    """Return the faces of an RGB image, the most certain first."""
    detections = _detector().detect(
        Image(image, "rgb", Stamp(0, 0)),
        score_threshold=min(max(conf_th, 0.0), 1.0),
        overlap_threshold=iou_th,
        min_face_size=0.1,
    )
    _hold_lock()
    return [_found(detection) for detection in detections]


def find_landmarks(crop: Pixels) -> tuple[Floats, float]:
    """Return (478, 3) landmarks in pixels of an RGB crop, z smaller = closer, and their score."""
    output, presence = _landmarks().run(image_bytes(crop, "rgb"))
    _hold_lock()
    return output.reshape(-1, 3), float(sigmoid(presence).reshape(-1)[0])


def _found(detection: Detection) -> FoundFace:
    x, y, width, height = detection.box
    higher = height * _HEIGHT_OF_BOX
    left_eye, right_eye, nose, mouth = detection.keypoints[:4]
    half_mouth = _HALF_MOUTH * (right_eye - left_eye)
    corners = (mouth - half_mouth, mouth + half_mouth)
    return FoundFace(
        box=(x, y - (higher - height) / 2, width, higher),
        score=detection.score,
        keypoints=np.stack([left_eye, right_eye, nose, *corners]),
        # YOLO is surer of what it sees in a face than of the face.
        keypoint_score=1 - (1 - detection.score) ** 2,
    )


def _hold_lock() -> None:
    milliseconds = _knobs.number("NPU_MS")
    if milliseconds > 0:
        wait_with_lock(milliseconds / 1000)


@cache
def _detector() -> ShortRangeDetector:
    return ShortRangeDetector()


@cache
def _landmarks() -> Network:
    return Network(find_model("face_landmarks.onnx"), kind="face_landmarks")


def load_networks() -> None:
    """Load them now and not with the first image."""
    _detector()
    _landmarks()
