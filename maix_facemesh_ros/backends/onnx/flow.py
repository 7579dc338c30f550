"""Landmarks by optical flow, in images that the landmark network does not run on.

The face is tracked from the network's last landmarks by optical flow (Lucas and Kanade: «An
Iterative Image Registration Technique with an Application to Stereo Vision», 1981) at 68 landmarks.
All 478 are then translated, rotated and scaled accordingly. If the 68 have not moved as one,
because an eye closes or the head turns, the result is None, and the network has to run.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarks
from maix_facemesh_ros.backends.onnx.roi import Roi, bounding_box, roi_from_landmarks
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Image, Pixels
from maix_facemesh_ros.mesh.landmark_subsets import SUB_68

#: Tracked landmarks: on the outline, the brows, the nose, the eyelids and the lips.
FOLLOWED = np.array(SUB_68)

#: Side of the examined area as a multiple of the face, and its maximum in pixels after scaling.
REACH = 1.5
LARGEST_SIDE = 160

#: Pixels of the smallest face that is followed: in 12 videos, landmarks of smaller ones were up to
#: 44 % of the eye distance off, of larger ones up to 10 %.
SMALLEST_FACE = 60.0

#: Window around a landmark in pixels, and number of pyramid levels.
WINDOW = (13, 13)
LEVELS = 2
#: Maximum number of steps for each landmark, and pixels of the last step.
STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)

#: Fraction of the landmarks that determines the motion: those that agree best.
AGREEING = 0.7
ROUNDS = 3
#: Nine of ten landmarks must have moved with the face but for this fraction of its size.
DEVIATION = 0.005
#: Maximum median difference of the landmarks' surroundings, in gray levels.
DIFFERENCE = 16.0
#: Maximum growth (a factor) and rotation (radians) without a change of appearance.
LARGEST_GROWTH = 1.15
LARGEST_TURN = 0.2

#: A ROI has settled when the next one is no further away, as a fraction of its width and in
#: radians. The first ones of a face come nearer step by step, and so do its landmarks.
SETTLED = 0.03


class _Motion(NamedTuple):
    """Translation, rotation and scale of the plane; positions are complex numbers, x + iy."""

    center: complex
    new_center: complex
    #: Scale and rotation.
    turn: complex

    def of(self, places: npt.NDArray[np.complex64]) -> npt.NDArray[np.complex64]:
        """Return the moved positions."""
        return np.asarray(self.new_center + self.turn * (places - self.center), np.complex64)


class FaceFlow:
    """A face's appearance when the network found its landmarks."""

    def __init__(self, image: Image, roi: Roi, landmarks: FaceLandmarks) -> None:
        """Store the face's appearance.

        Args:
            image: the image that the network ran on.
            roi: the network's ROI.
            landmarks: the network's result.
        """
        self._landmarks = landmarks
        self._image_size = image.size
        self._images = 0
        x, y, width, height = bounding_box(landmarks.points)
        reach = REACH * max(width, height) / 2
        left, right = _reach(x + width / 2, reach, image.size[0])
        top, bottom = _reach(y + height / 2, reach, image.size[1])
        shown = (right - left, bottom - top)
        pixel = max(math.ceil(max(shown) / LARGEST_SIDE), 1)
        has_settled = roi_from_landmarks(landmarks.points).is_near(roi, SETTLED)
        is_large = max(width, height) >= SMALLEST_FACE
        self._can_be_followed = is_large and min(shown) >= WINDOW[0] * pixel and has_settled
        if not self._can_be_followed:
            return
        # Pixels of the image per pixel of the examined area, and the size of that area.
        self._pixel = pixel
        self._shown = (shown[0] // pixel, shown[1] // pixel)
        self._left_top = (left, top)
        self._size = max(width, height) / pixel
        self._look = self._part_of(image)
        places = (landmarks.points - np.array((left, top), np.float32)) / np.float32(pixel)
        self._places = np.ascontiguousarray(places).view(np.complex64).ravel()
        self._last_places: npt.NDArray[np.complex64] = self._places

    def landmarks_in(self, image: Image, interval: int) -> FaceLandmarks | None:
        """Return the landmarks in the next image; None: the network has to run.

        Args:
            image: the next one.
            interval: the network runs in every n-th image at least.
        """
        self._images += 1
        comparable = self._can_be_followed and image.size == self._image_size
        if not comparable or self._images >= interval:
            return None
        motion = self._follow(self._part_of(image))
        if motion is None:
            return None
        self._last_places = motion.of(self._places)
        places = self._last_places.view(np.float32).reshape(-1, 2)
        return replace(
            self._landmarks,
            points=places * np.float32(self._pixel) + np.array(self._left_top, np.float32),
            points_z=self._landmarks.points_z * np.float32(abs(motion.turn)),
            points_rel=self._landmarks.points_rel.copy(),
        )

    def _follow(self, look: Pixels) -> _Motion | None:
        """Return how the face has moved since the network saw it, if it has moved as one."""
        places = self._places[FOLLOWED]
        found, is_found, difference = cv2.calcOpticalFlowPyrLK(
            self._look,
            look,
            _as_pairs(places),
            _as_pairs(self._last_places[FOLLOWED]),
            winSize=WINDOW,
            maxLevel=LEVELS,
            criteria=STEPS,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        seen = is_found.ravel().astype(bool)
        if seen.mean() < AGREEING or np.median(difference[seen]) > DIFFERENCE:
            return None
        new_places = np.ascontiguousarray(found, np.float32).view(np.complex64).ravel()
        motion = _motion_between(places[seen], new_places[seen])
        deviation = np.abs(motion.of(places) - new_places)
        deviation[~seen] = np.inf
        growth = abs(motion.turn)
        nine_of_ten = len(deviation) * 9 // 10
        moved_as_one = (
            np.partition(deviation, nine_of_ten)[nine_of_ten] <= DEVIATION * self._size
            and 1 / LARGEST_GROWTH <= growth <= LARGEST_GROWTH
            and abs(np.angle(motion.turn)) <= LARGEST_TURN
        )
        return motion if moved_as_one else None

    def _part_of(self, image: Image) -> Pixels:
        """Return the part of the image in gray, and small."""
        (left, top), (width, height) = self._left_top, self._shown
        part = image.pixels[top : top + height * self._pixel, left : left + width * self._pixel]
        gray = image.gray_of(part)
        if self._pixel > 1:
            # By an integer factor: OpenCV takes four times as long for any other.
            return np.asarray(cv2.resize(gray, self._shown, interpolation=cv2.INTER_AREA), np.uint8)
        return gray


def _reach(center: float, reach: float, end: int) -> tuple[int, int]:
    """Return the pixels around a place, from the first to before the last, inside the image."""
    return max(int(center - reach), 0), min(int(center + reach) + 1, end)


def _motion_between(
    places: npt.NDArray[np.complex64], new_places: npt.NDArray[np.complex64]
) -> _Motion:
    """Return the motion that fits best, in the sense of least squares, most of the places.

    In the plane of complex numbers this is a line through points (S. Umeyama: «Least-squares
    estimation of transformation parameters between two point patterns», 1991).
    """
    most = int(AGREEING * len(places))
    agree: npt.NDArray[np.intp] = np.arange(len(places))
    for _ in range(ROUNDS):
        center, new_center = places[agree].mean(), new_places[agree].mean()
        line = places[agree] - center
        turn = np.vdot(line, new_places[agree] - new_center) / np.vdot(line, line)
        motion = _Motion(complex(center), complex(new_center), complex(turn))
        deviation = np.abs(motion.of(places) - new_places)
        agree = np.argpartition(deviation, most)[:most]
    return motion


def _as_pairs(places: npt.NDArray[np.complex64]) -> FloatArray:
    """Return complex positions as (N, 1, 2), as in OpenCV."""
    return np.ascontiguousarray(places).view(np.float32).reshape(-1, 1, 2)
