"""The region of interest (ROI): the rotated rectangle that is the landmark network's input.

detection → roi → crop → landmarks → projection → next roi: this module holds the geometry of those
steps. All angles are radians, positive from x (right) towards y (down). Pixels are those of the
source image.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.boxes import intersection
from maix_facemesh_ros.face import Box, FloatArray
from maix_facemesh_ros.image import Pixels

#: Mesh indices of the outer corners of the right and the left eye: they give the roll of the next
#: ROI (mediapipe/tasks/cc/vision/face_landmarker/face_landmarks_detector_graph.cc).
OUTER_EYE_CORNERS = (33, 263)

#: MediaPipe enlarges the box of a detection, and the box of the landmarks, by this factor (same
#: file, and face_detector_graph.cc).
MEDIAPIPE_SCALE = 1.5

#: A ROI stays where it is while the next one is no further away than this fraction of its width,
#: and of a radian: a sixteenth of a pixel of the network's input. On a still image the landmarks
#: then come to rest, within 10 images; without it the ROI and the crop, which is rounded to pixel
#: values and to 32nds of a pixel, move each other by up to a tenth of a pixel for good.
STANDSTILL = 1 / 4096

#: OpenCV up to 4 warps in steps of a 32nd of a pixel (INTER_TAB_SIZE). OpenCV 5 calculates places
#: exactly, which moves the landmarks of a small face by half a pixel from where MediaPipe, built on
#: OpenCV 3 and 4, has them.
OPENCV_WARPS_IN_STEPS = int(cv2.__version__.split(".")[0]) < 5


class Roi(NamedTuple):
    """A rotated rectangle in the image: center and size in pixels, rotation in radians."""

    center_x: float
    center_y: float
    width: float
    height: float
    rotation: float

    def is_near(self, other: Roi, tolerance: float) -> bool:
        """Whether another ROI is no further away than a fraction of the width, and of a radian."""
        distance = max(
            abs(self.center_x - other.center_x),
            abs(self.center_y - other.center_y),
            abs(self.width - other.width),
        )
        turn = abs(self.rotation - other.rotation)
        return distance <= tolerance * other.width and turn <= tolerance


class RoiRule(NamedTuple):
    """How a detection becomes a ROI: the part of the head in the box depends on the detector."""

    #: The ROI is this many times the box.
    scale: float = MEDIAPIPE_SCALE
    #: True: a square of the long side; False: the box's own aspect.
    square: bool = False


def roi_from_detection(box: Box, keypoints: FloatArray, rule: RoiRule) -> Roi:
    """Return the ROI of a detected face.

    Args:
        box: x, y, width, height in pixels.
        keypoints: (K, 2) pixels; the first two are the eyes, the one on the left of the image
            first. The line between them gives the rotation; with an eye not finite or at a negative
            place (MaixPy's (-1, -1)) the face counts as upright.
        rule: the detector's rule.
    """
    x, y, width, height = box
    if rule.square:
        width = height = max(width, height)
    return Roi(
        center_x=x + box[2] / 2,
        center_y=y + box[3] / 2,
        width=width * rule.scale,
        height=height * rule.scale,
        rotation=_roll(keypoints[0], keypoints[1]) if _both_eyes_seen(keypoints) else 0.0,
    )


def roi_from_landmarks(points: FloatArray) -> Roi:
    """Return the ROI of landmarks: a square 1.5 times as large, rolled with the eyes.

    Args:
        points: (478, 2) pixels, unsmoothed.
    """
    left, top, right, bottom = (float(edge) for edge in _edges(points))
    side = max(right - left, bottom - top) * MEDIAPIPE_SCALE
    return Roi((left + right) / 2, (top + bottom) / 2, side, side, roll_of_landmarks(points))


def roll_of_landmarks(points: FloatArray) -> float:
    """Return the roll of (478, 2) landmarks."""
    right_eye, left_eye = OUTER_EYE_CORNERS
    return _roll(points[right_eye], points[left_eye])


def face_box(roi: Roi) -> Box:
    """Return x, y, width, height of the face whose landmarks gave a ROI, but for its rotation."""
    width, height = roi.width / MEDIAPIPE_SCALE, roi.height / MEDIAPIPE_SCALE
    return roi.center_x - width / 2, roi.center_y - height / 2, width, height


def next_roi(points: FloatArray, last: Roi | None) -> Roi:
    """Return the ROI for the next image, which is the last one while the face stands still.

    Args:
        points: (478, 2) pixels, unsmoothed.
        last: the ROI in which they were found; None: that of a detection.
    """
    roi = roi_from_landmarks(points)
    return last if last is not None and roi.is_near(last, STANDSTILL) else roi


def crop(image: Pixels, roi: Roi, size: tuple[int, int], border: int) -> Pixels:
    """Cut the ROI out of the image, upright, and scale it to `size`.

    The ROI's corners map to 0 and `size`, with no shift by half a pixel, and the warp works on
    uint8 and bilinearly: what MediaPipe does (image_to_tensor_converter_opencv.cc), and what its
    answers depend on. It does so with cv2.warpPerspective, which takes half as much time again;
    here one place in some thousands is rounded to the next step. (cv2.warpAffine, a little faster,
    rounds one in 60, which moves landmarks by up to a fortieth of a pixel.)

    Args:
        image: uint8 (H, W, 3).
        roi: the area; it may extend beyond the image.
        size: width, height of the result in pixels.
        border: pixels outside the image, `cv2.BORDER_CONSTANT` (black) or
            `cv2.BORDER_REPLICATE`.

    Returns:
        uint8 (size[1], size[0], 3).
    """
    width, height = size
    part, left, top = _part_under(image, roi)
    cos, sin = math.cos(roi.rotation), math.sin(roi.rotation)
    across, down = roi.width / width, roi.height / height
    start_x = roi.center_x - (cos * roi.width - sin * roi.height) / 2 - left
    start_y = roi.center_y - (sin * roi.width + cos * roi.height) / 2 - top
    columns, rows = np.arange(width), np.arange(height)
    x: cv2.typing.MatLike = _sums(start_x - sin * down * rows, cos * across * columns)
    y: cv2.typing.MatLike = _sums(start_y + cos * down * rows, sin * across * columns)
    if not OPENCV_WARPS_IN_STEPS:
        # It still supports positions in steps.
        x, y = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return np.asarray(cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=border), np.uint8)


def _part_under(image: Pixels, roi: Roi) -> tuple[Pixels, int, int]:
    """Return a view of the pixels that a ROI may need, with its left and top in the image.

    OpenCV copies the whole of what does not lie in memory row by row, and float32 holds places the
    better the smaller they are.
    """
    height, width = image.shape[:2]
    cos, sin = abs(math.cos(roi.rotation)), abs(math.sin(roi.rotation))
    reach_x = (cos * roi.width + sin * roi.height) / 2 + 2
    reach_y = (sin * roi.width + cos * roi.height) / 2 + 2
    left = min(max(int(roi.center_x - reach_x), 0), width - 1)
    top = min(max(int(roi.center_y - reach_y), 0), height - 1)
    right = max(int(roi.center_x + reach_x) + 1, left + 1)
    bottom = max(int(roi.center_y + reach_y) + 1, top + 1)
    return image[top:bottom, left:right], left, top


def _sums(rows: npt.NDArray[np.floating], columns: npt.NDArray[np.floating]) -> FloatArray:
    """Return each of the rows plus each of the columns."""
    return np.add.outer(rows.astype(np.float32), columns.astype(np.float32))


def project_landmarks(
    landmarks: FloatArray, input_size: int, roi: Roi
) -> tuple[FloatArray, FloatArray]:
    """Bring landmarks from the crop back into the image.

    z scales with the ROI's width in pixels, as in MaixPy: the same face has the same depth however
    it is rolled and whatever the shape of the image. MediaPipe measures the ROI's x axis in
    coordinates normalised by the image's width and height (landmark_projection_calculator.cc), so
    that its z, in image widths, is larger by the factor hypot(cos(roll), sin(roll) * image width /
    image height): 1.78 for a head rolled by 90 degrees in an image of 1280x720.

    Args:
        landmarks: (N, 3) in pixels of the crop, z smaller = closer.
        input_size: width and height of the crop in pixels.
        roi: where the crop was cut.

    Returns:
        points (N, 2) float32 in pixels of the image, and points_z (N,) float32 in pixels, larger
        = closer.
    """
    x, y, z = landmarks.T.astype(np.float64, order="C") / input_size
    x = (x - 0.5) * roi.width
    y = (y - 0.5) * roi.height
    cos, sin = math.cos(roi.rotation), math.sin(roi.rotation)
    points = np.empty((len(landmarks), 2), np.float32)
    points[:, 0] = roi.center_x + cos * x - sin * y
    points[:, 1] = roi.center_y + sin * x + cos * y
    return points, (z * -roi.width).astype(np.float32)


def containment(first: Box, second: Box) -> float:
    """Return how much of the smaller of two boxes lies in the other one, 0..1."""
    smaller = min(first[2] * first[3], second[2] * second[3])
    return intersection(first, second) / smaller if smaller > 0 else 0.0


def bounding_box(points: FloatArray) -> Box:
    """Return x, y, width, height of the upright box around (N, 2) points."""
    left, top, right, bottom = (float(edge) for edge in _edges(points))
    return left, top, right - left, bottom - top


def _edges(points: FloatArray) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    # One column after the other: numpy takes three times as long for both at once.
    x, y = points[:, 0], points[:, 1]
    return x.min(), y.min(), x.max(), y.max()


def _roll(right_eye: FloatArray, left_eye: FloatArray) -> float:
    return math.atan2(float(left_eye[1] - right_eye[1]), float(left_eye[0] - right_eye[0]))


def _both_eyes_seen(keypoints: FloatArray) -> bool:
    if len(keypoints) < 2:
        return False
    eyes = keypoints[:2]
    return bool(np.isfinite(eyes).all() and (eyes != -1).any(axis=1).all())
