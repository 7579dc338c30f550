"""`CameraMotion`: what appears before a moving camera stands out, and its motion does not."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.backends.onnx.camera_motion import FEWEST, CameraMotion, unexplained
from maix_facemesh_ros.backends.onnx.search import DARKEST
from maix_facemesh_ros.face import FloatArray

SIZE = (80, 60)
#: x, y, width and height of what appears.
PATCH = (31, 20, 4, 5)


@pytest.fixture(scope="module")
def world() -> FloatArray:
    """A photograph without a face, three times as large as a thumbnail, in gray levels."""
    data = pytest.importorskip("skimage.data", reason="scikit-image has the image")
    gray = cv2.cvtColor(np.ascontiguousarray(data.coffee()), cv2.COLOR_RGB2GRAY)
    smaller = cv2.resize(gray, (3 * SIZE[0], 3 * SIZE[1]), interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.float32)


def seen(world: FloatArray, number: int, light: float = 1.0) -> FloatArray:
    """Return what a camera sees that turns, comes nearer, and is carried on."""
    turn = cv2.getRotationMatrix2D(
        (1.5 * SIZE[0], 1.5 * SIZE[1]),
        3 * math.sin(number / 17),
        1 + 0.08 * math.sin(number / 23),
    )
    matrix = np.asarray(turn, np.float64)
    matrix[:, 2] += (-SIZE[0] + 0.7 * number, -SIZE[1] + 6 * math.sin(number / 13))
    noise = np.random.default_rng(number).normal(0, 1, SIZE[::-1])
    return np.asarray(light * cv2.warpAffine(world, matrix, SIZE) + noise, np.float32)


def with_patch(pixels: FloatArray) -> FloatArray:
    """Return a thumbnail in which something differs from what is around it."""
    x, y, width, height = PATCH
    patched = pixels.copy()
    place = patched[y : y + height, x : x + width]
    place[:] = 20.0 if place.mean() > 128 else 240.0
    return patched


def test_motion_and_light_are_explained(world: FloatArray) -> None:
    for number in range(1, 60):
        last, pixels = seen(world, number - 1), seen(world, number, light=1.03)
        remaining = unexplained(last, pixels)
        assert np.maximum(remaining, 0).mean() < 0.25 * np.abs(pixels - last).mean()


def test_motion_alone_seldom_stands_out(world: FloatArray) -> None:
    motion = CameraMotion()
    appearances = [motion.appearing(seen(world, number), number) for number in range(60)]
    assert sum(each is not None for each in appearances) <= 6


@pytest.mark.parametrize("start", range(FEWEST + 1, 50, 9))
def test_what_appears_is_found_where_it_is(world: FloatArray, start: int) -> None:
    motion = CameraMotion()
    for number in range(start):
        motion.appearing(seen(world, number), number)
    appearance = motion.appearing(with_patch(seen(world, start)), start)
    assert appearance is not None
    x, y, width, height = PATCH
    assert x <= appearance.column < x + width
    assert y <= appearance.row < y + height
    assert 0.5 * width * height <= appearance.extent <= 2 * width * height


def test_nothing_is_told_before_there_are_images_to_compare_with(world: FloatArray) -> None:
    motion = CameraMotion()
    for number in range(FEWEST + 1):
        pixels = seen(world, number)
        assert motion.appearing(with_patch(pixels) if number % 2 else pixels, number) is None


@pytest.mark.parametrize("gap", ["number", "size"])
def test_after_a_gap_the_motion_starts_again(world: FloatArray, gap: str) -> None:
    motion = CameraMotion()
    for number in range(20):
        motion.appearing(seen(world, number), number)
    if gap == "size":
        motion.appearing(np.zeros((30, 40), np.float32), 20)
    assert motion.appearing(with_patch(seen(world, 21)), 21) is None
    for number in range(22, 22 + FEWEST):
        motion.appearing(seen(world, number), number)
    number = 22 + FEWEST
    assert motion.appearing(with_patch(seen(world, number)), number) is not None


@pytest.mark.parametrize("level", [DARKEST, 128.0])
def test_plain_images_have_no_motion(level: float) -> None:
    motion = CameraMotion()
    plain = np.full(SIZE[::-1], level, np.float32)
    for number in range(20):
        assert motion.appearing(plain, number) is None
    assert motion.appearing(with_patch(plain), 20) is not None


def test_noise_alone_never_stands_out() -> None:
    random, motion = np.random.default_rng(0), CameraMotion()
    for number in range(100):
        noisy = random.normal(128, 2, SIZE[::-1]).astype(np.float32)
        assert motion.appearing(noisy, number) is None
