"""Faces as foxglove_msgs/ImageAnnotations: boxes, landmarks and labels over an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from maix_facemesh_ros.face import Face

#: Red, green, blue, opacity.
OUTLINE = (0.3, 1.0, 0.6, 1.0)
LANDMARK = (0.9, 1.0, 1.0, 0.9)
TEXT = (0.04, 0.16, 0.1, 1.0)
TEXT_SIZE = 14.0

#: Width in pixels of the line around a face.
OUTLINE_THICKNESS = 2.0
#: Radius of a landmark's dot, as a part of the box's longer side: dots that are as large on each
#: face hide a small one.
LANDMARK_RADIUS = 0.006

#: Constants of foxglove_msgs/PointsAnnotation.
POINTS = 1
LINE_LOOP = 2


def image_annotations(messages: Any, header: Any, faces: Sequence[Face]) -> Any:
    """Return the annotations of one image.

    Args:
        messages: module with the types of foxglove_msgs, which accept their fields as keywords.
        header: the image's own.
        faces: in it, with absolute points.
    """
    annotations = messages.ImageAnnotations()
    if hasattr(annotations, "timestamp"):  # since foxglove_msgs 3.2.5
        annotations.timestamp = header.stamp
    for face in faces:
        x, y, width, height = face.box
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        annotations.points.append(
            _points(messages, header, LINE_LOOP, corners, OUTLINE, OUTLINE_THICKNESS)
        )
        if len(face.points):
            # For dots, Foxglove and Lichtblick use the thickness as the radius.
            radius = LANDMARK_RADIUS * max(width, height)
            annotations.points.append(
                _points(messages, header, POINTS, face.points.tolist(), LANDMARK, radius)
            )
        annotations.texts.append(
            messages.TextAnnotation(
                timestamp=header.stamp,
                position=messages.Point2(x=x, y=y),
                text=f"{face.id}: {face.score:.0%}" if face.id else f"{face.score:.0%}",
                font_size=TEXT_SIZE,
                text_color=_color(messages, TEXT),
                background_color=_color(messages, OUTLINE),
            )
        )
    return annotations


def _points(
    messages: Any,
    header: Any,
    kind: int,
    points: Iterable[Sequence[float]],
    color: tuple[float, float, float, float],
    thickness: float,
) -> Any:
    return messages.PointsAnnotation(
        timestamp=header.stamp,
        type=kind,
        points=[messages.Point2(x=x, y=y) for x, y in points],
        outline_color=_color(messages, color),
        thickness=thickness,
    )


def _color(messages: Any, color: tuple[float, float, float, float]) -> Any:
    r, g, b, a = color
    return messages.Color(r=r, g=g, b=b, a=a)
