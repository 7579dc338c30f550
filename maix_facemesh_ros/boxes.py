"""How much two boxes share."""

from __future__ import annotations

from maix_facemesh_ros.face import Box


def overlap(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes, 0..1."""
    shared = intersection(first, second)
    union = first[2] * first[3] + second[2] * second[3] - shared
    return shared / union if union > 0 else 0.0


def intersection(first: Box, second: Box) -> float:
    """Return the area that two boxes share."""
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right = min(first[0] + first[2], second[0] + second[2])
    bottom = min(first[1] + first[3], second[1] + second[3])
    return max(right - left, 0.0) * max(bottom - top, 0.0)
