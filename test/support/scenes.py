"""Images made for a test: the astronaut's head put anywhere, at any size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Pixels

MEDIAPIPE = Path(__file__).parents[1] / "data/mediapipe"

#: (478, 2) the astronaut's landmarks in pixels of the 512x512 image, as MediaPipe gives them.
ASTRONAUT_POINTS: FloatArray = (
    np.load(MEDIAPIPE / "astronaut.npz")["landmarks"][0, :, :2] * 512
).astype(np.float32)
_LOW, _HIGH = ASTRONAUT_POINTS.min(axis=0), ASTRONAUT_POINTS.max(axis=0)
#: A face's width is the width of the box around its landmarks.
ASTRONAUT_WIDTH = float(_HIGH[0] - _LOW[0])
ASTRONAUT_CENTER: FloatArray = (_LOW + _HIGH) / 2

#: Left, top, right, bottom of the part that is pasted: the head and the shoulders.
_CUT = (91, 0, 360, 280)


def plain(width: int = 640, height: int = 360, gray: int = 128) -> Pixels:
    """Return a gray image."""
    return np.full((height, width, 3), gray, np.uint8)


def paste_head(
    image: Pixels, astronaut: Pixels, center: tuple[int, int], face_width: float
) -> FloatArray:
    """Paste the astronaut's head into an image, cut off at its edges.

    Args:
        image: what to change.
        astronaut: the 512x512 image.
        center: where the center of the face goes, in pixels.
        face_width: width of the face in pixels.

    Returns:
        (478, 2) where its landmarks should be.
    """
    left, top, right, bottom = _CUT
    head = astronaut[top:bottom, left:right]
    scale = face_width / ASTRONAUT_WIDTH
    size = (round((right - left) * scale), round((bottom - top) * scale))
    shrinks = scale < 1
    head = cv2.resize(
        head, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    ).astype(np.uint8)
    center_in_head = (ASTRONAUT_CENTER - (left, top)) * scale
    x, y = (np.array(center) - center_in_head).round().astype(int).tolist()

    height, width = image.shape[:2]
    visible = head[max(-y, 0) : max(height - y, 0), max(-x, 0) : max(width - x, 0)]
    image[max(y, 0) : y + size[1], max(x, 0) : x + size[0]] = visible
    points = (ASTRONAUT_POINTS - (left, top)) * scale + (x, y)
    return np.asarray(points, np.float32)


def scene(astronaut: Pixels, *heads: tuple[int, int, float]) -> Pixels:
    """Return a gray 640x360 image with heads in it: x, y of the face's center, its width."""
    image = plain()
    for x, y, face_width in heads:
        paste_head(image, astronaut, (x, y), face_width)
    return image


def stand_behind_each_other(astronaut: Pixels, *heads: tuple[float, float, float]) -> Pixels:
    """Return an image like `scene`'s, of heads without what is around them, the nearest in front.

    Args:
        astronaut: the 512x512 image.
        *heads: x, y of the face's center, its width.
    """
    image = plain()
    for x, y, width in sorted(heads, key=lambda head: head[2]):
        layer = scene(astronaut, (round(x), round(y), width))
        head = np.zeros(image.shape[:2], np.uint8)
        center = (round(x), round(y - 0.12 * width))
        cv2.ellipse(head, center, (round(0.68 * width), round(0.9 * width)), 0, 0, 360, 1, -1)
        image = np.where(head[:, :, np.newaxis] > 0, layer, image)
    return image


#: Mesh indices of each eye's lids: nine from one corner along the lower lid to the other one, and
#: the rest back along the upper lid.
_LIDS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)


def close_eyes(astronaut: Pixels) -> Pixels:
    """Return the 512x512 image with the upper lids drawn down over the eyes."""
    scale = 3
    large = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    rows, columns = np.mgrid[: large.shape[0], : large.shape[1]].astype(np.float32)
    lashes = []
    for indices in _LIDS:
        lids = ASTRONAUT_POINTS[list(indices)] * scale
        lower, upper = lids[:9], lids[[0, *range(15, 7, -1)]]
        lower, upper = (lid[np.argsort(lid[:, 0])] for lid in (lower, upper))
        for x in range(int(lower[0, 0]), int(lower[-1, 0]) + 1):
            bottom = np.interp(x, *lower.T) + 0.8 * scale
            lid = np.interp(x, *upper.T) - 1.2 * scale
            top = lid - 6 * scale
            drawn = np.arange(int(top), int(bottom) + 1)
            rows[drawn, x] = top + (drawn - top) * (lid - top) / (bottom - top)
        lashes.append(np.round(lower + (0, 0.5 * scale)).astype(np.int32))
    closed = cv2.remap(large, columns, rows, cv2.INTER_LINEAR)
    cv2.polylines(closed, lashes, False, (60, 35, 30), scale, cv2.LINE_AA)
    size = (astronaut.shape[1], astronaut.shape[0])
    return np.asarray(cv2.resize(closed, size, interpolation=cv2.INTER_AREA), np.uint8)


def distance(points: FloatArray, expected: FloatArray) -> float:
    """Return the mean distance of landmarks as a fraction of the eye distance (33 to 263)."""
    eyes = float(np.linalg.norm(expected[33] - expected[263]))
    return float(np.linalg.norm(points - expected, axis=1).mean()) / eyes
