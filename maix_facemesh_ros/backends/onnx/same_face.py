"""Whether two findings are of one face, and which faces are the largest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from maix_facemesh_ros.backends.onnx.detection import Detection, logit
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarks
from maix_facemesh_ros.backends.onnx.roi import bounding_box, containment, roll_of_landmarks
from maix_facemesh_ros.boxes import overlap
from maix_facemesh_ros.face import Face, FloatArray

#: Landmarks of like size are of one face when this much of the smaller one's box lies in the other.
SAME_LANDMARKS_CONTAINMENT = 0.7
#: The same where their rolls differ by more than this, in radians: one of them is then wrong, and
#: lies less exactly over the other. Neighbors as different as that hardly overlap.
TURNED_LANDMARKS_CONTAINMENT = 0.4
OTHER_ROLL = math.pi / 3
#: Sizes are alike when the longer side of one box is at most this many times that of the other.
LIKE_SIZE = 1.5
#: Smaller landmarks are a part of a larger face when this much of them lies in its outline: a
#: detector may take a part of a near face for another face. The outline counts and not the box,
#: whose corners are free for a face behind the near one's chin. MediaPipe compares whole faces
#: only (AssociationNormRectCalculator in face_landmarker_graph.cc, intersection over union 0.5).
PART_OF_A_FACE = 0.6
#: Every n-th landmark is tested: as good, and faster.
TESTED = 8

#: Logit of the presence from which on a mesh is certain, which that of a part of a face is not.
CERTAIN = 13.0

#: A detector's box and a landmarks' box of one face overlap by more than this; they frame it
#: differently.
SAME_BOX_OVERLAP = 0.3

#: A new face takes the place of a tracked one when its area is this many times as large, so that
#: two faces of one size do not take turns.
LARGER = 1.44


def is_same(first: FloatArray, second: FloatArray) -> bool:
    """Whether landmarks of like size are of one face.

    Args:
        first: (478, 2) pixels.
        second: the same.
    """
    box, other = bounding_box(first), bounding_box(second)
    smaller, larger = sorted((max(box[2:]), max(other[2:])))
    if larger > LIKE_SIZE * smaller:
        return False
    turn = math.remainder(roll_of_landmarks(first) - roll_of_landmarks(second), 2 * math.pi)
    is_turned = abs(turn) > OTHER_ROLL
    least = TURNED_LANDMARKS_CONTAINMENT if is_turned else SAME_LANDMARKS_CONTAINMENT
    return containment(box, other) > least


def is_part(face: Face, other: Face) -> bool:
    """Whether a face is none of its own but was found in a part of a larger one.

    Args:
        face: with all landmarks.
        other: the same.
    """
    box, larger = bounding_box(face.points), bounding_box(other.points)
    is_candidate = (
        max(larger[2:]) > LIKE_SIZE * max(box[2:])
        and logit(face.landmarks_score) < CERTAIN
        and containment(box, larger) > PART_OF_A_FACE
    )
    if not is_candidate:
        return False
    outline = cv2.convexHull(np.ascontiguousarray(other.points, np.float32))
    inside = [
        cv2.pointPolygonTest(outline, (x, y), measureDist=False) >= 0
        for x, y in face.points[::TESTED].tolist()
    ]
    return sum(inside) > PART_OF_A_FACE * len(inside)


def distinct(best_first: Sequence[Face], known: Sequence[Face] = ()) -> list[Face]:
    """Return the faces that are neither known, nor the same as one before, nor a part of another.

    Args:
        best_first: with all landmarks.
        known: the same.
    """
    found: list[Face] = []
    for face in best_first:
        if not any(is_same(face.points, other.points) for other in [*known, *found]):
            found.append(face)
    return [face for face in found if not any(is_part(face, other) for other in [*known, *found])]


def recognize(detection: Detection, known: list[Face]) -> bool:
    """Whether a detection is a known face; if so, update that face's score and key points."""
    for face in known:
        box = bounding_box(face.points) if len(face.points) else face.box
        if overlap(detection.box, box) > SAME_BOX_OVERLAP:
            face.score = detection.score
            face.box_keypoints = detection.keypoints
            return True
    return False


def set_landmarks(face: Face, landmarks: FaceLandmarks) -> None:
    """Fill in what the landmark network has found."""
    face.landmarks_score = landmarks.presence
    face.points = landmarks.points
    face.points_z = landmarks.points_z
    face.points_rel = landmarks.points_rel


def room_for(area: float, known: list[Face], found: list[Face], limit: int | None) -> int:
    """Return how many faces of an area can be among the largest ones, with those already there.

    Args:
        area: square pixels; smaller ones follow.
        known: tracked faces, which have the precedence that `LARGER` says.
        found: new faces.
        limit: most faces of an image; None: no limit.
    """
    if limit is None:
        return len(known) + len(found) + 1000
    rivals = sum(area_of(face) * LARGER >= area for face in known) + len(found)
    return max(limit - rivals, 0)


def largest(new: list[Face], known: list[Face], limit: int | None) -> list[Face]:
    """Return the known and the new faces that are given, the largest first."""
    by_precedence = sorted(
        [
            *((-area_of(face) * LARGER, n, face) for n, face in enumerate(known)),
            *((-area_of(face), len(known) + n, face) for n, face in enumerate(new)),
        ]
    )
    return largest_first([face for _, _, face in by_precedence[:limit]])


def largest_first(faces: list[Face]) -> list[Face]:
    """Return faces by the area of their boxes."""
    return sorted(faces, key=lambda face: -area_of(face))


def area_of(face: Face) -> float:
    """Return the area of a face's box in square pixels: that of its landmarks, if it has any."""
    box = bounding_box(face.points) if len(face.points) else face.box
    return box[2] * box[3]
