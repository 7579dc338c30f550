"""The geometry between the steps: detection → roi → crop → landmarks → projection → next roi."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.backends.onnx.roi import (
    Roi,
    RoiRule,
    bounding_box,
    crop,
    next_roi,
    project_landmarks,
    roi_from_detection,
    roi_from_landmarks,
)
from maix_facemesh_ros.boxes import overlap
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Pixels

LEVEL_EYES = np.array([[30, 40], [50, 40]], np.float32)
BOX = (20.0, 30.0, 40.0, 60.0)


def ramp(width: int = 200, height: int = 120) -> Pixels:
    """Red tells x, green tells y, blue is 0."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0] = np.arange(width)
    image[:, :, 1] = np.arange(height)[:, np.newaxis]
    return image


def landmarks_at(low: tuple[float, float], high: tuple[float, float]) -> FloatArray:
    """478 points that fill a box, with the outer eye corners at its left and right edge."""
    points = np.random.default_rng(0).uniform(low, high, (478, 2))
    points[0], points[1] = low, high
    middle = (low[1] + high[1]) / 2
    points[33], points[263] = (low[0], middle), (high[0], middle)
    return points.astype(np.float32)


def test_roi_of_a_detection_is_the_box_enlarged_around_its_center() -> None:
    assert roi_from_detection(BOX, LEVEL_EYES, RoiRule()) == Roi(40, 60, 60, 90, 0)


def test_square_roi_has_the_long_side() -> None:
    rule = RoiRule(scale=2.0, square=True)
    assert roi_from_detection(BOX, LEVEL_EYES, rule) == Roi(40, 60, 120, 120, 0)


@pytest.mark.parametrize(
    ("left_eye", "degrees"), [((50, 60), 45), ((50, 20), -45), ((30, 60), 90), ((10, 40), 180)]
)
def test_eyes_roll_the_roi(left_eye: tuple[float, float], degrees: float) -> None:
    eyes = np.array([[30, 40], left_eye], np.float32)
    assert math.degrees(roi_from_detection(BOX, eyes, RoiRule()).rotation) == pytest.approx(degrees)


@pytest.mark.parametrize(
    "keypoints",
    [
        np.zeros((0, 2), np.float32),
        np.array([[30, 40]], np.float32),
        np.array([[-1, -1], [50, 60]], np.float32),
        np.array([[30, 40], [-1, -1]], np.float32),
        np.array([[30, 40], [np.nan, 60]], np.float32),
        np.array([[np.inf, 40], [50, 60]], np.float32),
    ],
)
def test_without_both_eyes_the_roi_is_upright(keypoints: FloatArray) -> None:
    assert roi_from_detection(BOX, keypoints, RoiRule()).rotation == 0.0


def test_roi_of_landmarks_is_square_and_half_as_large_again() -> None:
    roi = roi_from_landmarks(landmarks_at((100, 50), (140, 110)))
    assert roi == pytest.approx(Roi(120, 80, 90, 90, 0))


def test_roi_of_landmarks_rolls_with_the_outer_eye_corners() -> None:
    points = landmarks_at((100, 50), (140, 110))
    points[33], points[263] = (110, 90), (120, 80)
    assert roi_from_landmarks(points).rotation == pytest.approx(-math.pi / 4, abs=1e-6)


def test_roi_stays_while_the_face_stands_still() -> None:
    points = landmarks_at((100, 50), (140, 110))
    roi = roi_from_landmarks(points)
    nearly, moved = points + np.float32(0.01), points + np.float32(0.1)
    assert next_roi(nearly, roi) == roi
    assert next_roi(nearly, None) == roi_from_landmarks(nearly) != roi
    assert next_roi(moved, roi) == roi_from_landmarks(moved)


def test_crop_of_an_upright_roi_is_that_part_of_the_image() -> None:
    image = ramp()
    face = crop(image, Roi(50, 40, 20, 10, 0.0), (20, 10), cv2.BORDER_CONSTANT)
    np.testing.assert_array_equal(face, image[35:45, 40:60])


def test_crop_scales_without_a_shift_by_half_a_pixel() -> None:
    face = crop(ramp(), Roi(50, 40, 20, 10, 0.0), (40, 20), cv2.BORDER_CONSTANT)
    np.testing.assert_array_equal(face[0, ::2, 0], np.arange(40, 60))
    np.testing.assert_array_equal(face[::2, 0, 1], np.arange(35, 45))


def test_crop_turns_the_face_upright() -> None:
    # A face rolled by 90 degrees: its right is the image's down.
    face = crop(ramp(), Roi(50, 40, 20, 20, math.pi / 2), (20, 20), cv2.BORDER_CONSTANT)
    # The crop's x axis runs along the image's y, and its y axis against the image's x.
    np.testing.assert_array_equal(face[5, :, 1], np.arange(30, 50))
    np.testing.assert_array_equal(face[:, 5, 0], np.arange(60, 40, -1))


def test_border_of_a_crop_over_the_edge() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    roi = Roi(0, 0, 20, 20, 0.0)
    black = crop(image, roi, (20, 20), cv2.BORDER_CONSTANT)
    repeated = crop(image, roi, (20, 20), cv2.BORDER_REPLICATE)
    assert (black[:9, :9] == 0).all()
    assert (black[10:, 10:] == 200).all()
    assert (repeated == 200).all()


def test_crop_leaves_the_image_as_it_is() -> None:
    image = ramp()
    crop(image, Roi(50, 40, 20, 10, 0.3), (20, 10), cv2.BORDER_CONSTANT)
    np.testing.assert_array_equal(image, ramp())


@pytest.mark.parametrize("degrees", [0, 25, -70, 160])
def test_projection_is_the_way_back_from_the_crop(degrees: float) -> None:
    size = 64
    roi = Roi(100.5, 60.25, 40.0, 50.0, math.radians(degrees))
    face = crop(ramp(), roi, (size, size), cv2.BORDER_CONSTANT)
    u, v = np.mgrid[4:60:8, 4:60:8].reshape(2, -1)
    landmarks = np.stack([u, v, np.zeros(u.size)], axis=1).astype(np.float32)

    points, _ = project_landmarks(landmarks, size, roi)

    # The image's color says where each pixel of the crop was, to half a level and 1/32 pixel.
    np.testing.assert_allclose(points, face[v, u, :2], atol=0.55)


def test_depth_is_in_pixels_and_larger_when_closer() -> None:
    landmarks = np.array([[128, 128, -64], [128, 128, 64], [128, 128, 0]], np.float32)
    _, depths = project_landmarks(landmarks, 256, Roi(100, 100, 80, 120, 0.0))
    np.testing.assert_allclose(depths, [20, -20, 0])


def test_depth_does_not_depend_on_the_roll() -> None:
    landmarks = np.array([[0, 0, -256]], np.float32)
    _, depths = project_landmarks(landmarks, 256, Roi(100, 100, 90, 90, math.pi / 2))
    np.testing.assert_allclose(depths, [90], rtol=1e-6)


def test_overlap_of_boxes() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (2, 3, 4, 5)) == pytest.approx(0.2)
    assert overlap((0, 0, 10, 10), (20, 0, 10, 10)) == 0.0
    assert overlap((0, 0, 10, 10), (20, 20, 10, 10)) == 0.0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


def test_bounding_box_of_points() -> None:
    points = np.array([[3, 9], [1, 5], [2, 20]], np.float32)
    assert bounding_box(points) == (1.0, 5.0, 2.0, 15.0)
