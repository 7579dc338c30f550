"""The annotations for Foxglove, without its messages: in their place stand plain objects."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.face import Face
from maix_facemesh_ros.messages.annotations import POINTS, image_annotations
from scenes import ASTRONAUT_POINTS

HEADER = SimpleNamespace(stamp="stamp")
MESSAGES = SimpleNamespace(
    ImageAnnotations=lambda: SimpleNamespace(points=[], texts=[]),
    PointsAnnotation=SimpleNamespace,
    TextAnnotation=SimpleNamespace,
    Point2=SimpleNamespace,
    Color=SimpleNamespace,
)

#: Pixels of the drawing for each pixel of the face.
ENLARGEMENT = 12


def covered_part(width: float) -> float:
    """Return the part of a face of this width that is under its landmarks' dots."""
    corner = ASTRONAUT_POINTS.min(axis=0)
    scale = width / np.ptp(ASTRONAUT_POINTS[:, 0])
    points = (ASTRONAUT_POINTS - corner) * scale
    box = (0.0, 0.0, width, float(points[:, 1].max()))
    face = Face(box=box, score=0.9, points=points.astype(np.float32))
    annotations = image_annotations(MESSAGES, HEADER, [face])
    (dots,) = (part for part in annotations.points if part.type == POINTS)

    shape = np.ceil(np.array(box[3:1:-1]) * ENLARGEMENT).astype(int)
    oval, drawn = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    hull = cv2.convexHull((points * ENLARGEMENT).astype(np.int32))
    cv2.fillConvexPoly(oval, hull, 1)
    # Foxglove and Lichtblick draw squares, with the thickness as half of a side.
    half = dots.thickness * ENLARGEMENT
    for point in dots.points:
        x, y = point.x * ENLARGEMENT, point.y * ENLARGEMENT
        first, last = (round(x - half), round(y - half)), (round(x + half), round(y + half))
        cv2.rectangle(drawn, first, last, 1, cv2.FILLED)
    return float((drawn & oval).sum() / oval.sum())


@pytest.mark.parametrize("width", [20.0, 49.0, 150.0])
def test_dots_hide_a_small_face_no_more_than_a_large_one(width: float) -> None:
    assert 0.02 < covered_part(width) < 0.15
