"""Faces far away, near, over the edge, turned; and no face where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.backends.onnx.blazeface import FullRangeDetector
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Pixels
from scenes import (
    ASTRONAUT_CENTER,
    ASTRONAUT_POINTS,
    ASTRONAUT_WIDTH,
    distance,
    paste_head,
    plain,
)

PLACES = ((100, 100), (640, 360), (1179, 619), (1200, 80), (77, 600), (333, 500), (901, 222))
#: Colored and gray images of scikit-image without any face.
NO_FACE = (
    "brick",
    "cat",
    "cell",
    "clock",
    "coffee",
    "coins",
    "colorwheel",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "logo",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
)


def skimage_image(name: str) -> Pixels:
    """An image that comes with scikit-image, as uint8 RGB."""
    data = pytest.importorskip("skimage.data", reason="scikit-image has the images")
    image = np.asarray(getattr(data, name)())
    if image.ndim == 2:
        return np.repeat(image[:, :, np.newaxis], 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


@pytest.fixture(scope="module")
def defaults() -> Iterator[FaceMesh]:
    with FaceMesh(max_face_num=0) as mesh:
        yield mesh


@pytest.fixture(scope="module")
def farther() -> Iterator[FaceMesh]:
    with FaceMesh(max_face_num=0, min_face_size=0.018) as mesh:
        yield mesh


def assert_found(
    mesh: FaceMesh, astronaut: Pixels, background: Pixels, face_width: float, limit: float
) -> None:
    for place in PLACES:
        image = background.copy()
        expected = paste_head(image, astronaut, place, face_width)
        faces = mesh.process(image)
        assert len(faces) == 1, place
        assert distance(faces[0].points, expected) < limit, place


@pytest.mark.parametrize("background", ["plain", "brick", "rocket"])
def test_face_40_pixels_wide_is_found_with_the_defaults(
    background: str, defaults: FaceMesh, astronaut: Pixels
) -> None:
    assert_found(defaults, astronaut, hd_background(background), face_width=40.0, limit=0.05)


@pytest.mark.parametrize("background", ["plain", "brick", "rocket"])
def test_face_24_pixels_wide_is_found_with_min_face_size(
    background: str, farther: FaceMesh, astronaut: Pixels
) -> None:
    assert_found(farther, astronaut, hd_background(background), face_width=24.0, limit=0.08)


def hd_background(name: str) -> Pixels:
    if name == "plain":
        return plain(1280, 720)
    resized = cv2.resize(skimage_image(name), (1280, 720), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def test_smaller_min_face_size_finds_smaller_faces(
    defaults: FaceMesh, farther: FaceMesh, astronaut: Pixels
) -> None:
    image = plain(1280, 720)
    paste_head(image, astronaut, (333, 500), 18.0)
    assert defaults.process(image) == []
    assert len(farther.process(image)) == 1


def close_up(astronaut: Pixels, size: tuple[int, int], share: float) -> tuple[Pixels, FloatArray]:
    """The astronaut's face in the middle of an image, `share` as wide as it; and its landmarks."""
    scale = size[0] * share / ASTRONAUT_WIDTH
    shift = np.array(size) / 2 - scale * ASTRONAUT_CENTER
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    image = cv2.warpAffine(astronaut, matrix, size, flags=cv2.INTER_CUBIC)
    points = (ASTRONAUT_POINTS * scale + shift).astype(np.float32)
    return np.asarray(image, np.uint8), points


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (480, 640), (1080, 1920)])
def test_face_that_fills_the_image(
    size: tuple[int, int], share: float, defaults: FaceMesh, astronaut: Pixels
) -> None:
    image, expected = close_up(astronaut, size, share)
    (face,) = defaults.process(image)
    assert distance(face.points, expected) < 0.05


@pytest.mark.parametrize(
    ("size", "share", "min_face_size"),
    [((1280, 720), 0.3, 0.03), ((480, 640), 0.8, 0.06), ((1080, 1920), 0.96, 0.018)],
)
def test_part_of_a_near_face_is_no_second_face(
    size: tuple[int, int], share: float, min_face_size: float, astronaut: Pixels
) -> None:
    image, expected = close_up(astronaut, size, share)
    with FaceMesh(max_face_num=0, min_face_size=min_face_size) as mesh:
        faces = mesh.process(image)
    assert distance(faces[0].points, expected) < 0.05
    assert len(faces) == 1


def test_near_and_far_face_in_one_image(defaults: FaceMesh, astronaut: Pixels) -> None:
    image = plain(1280, 720)
    near = paste_head(image, astronaut, (400, 360), 400.0)
    far = paste_head(image, astronaut, (1150, 200), 40.0)
    faces = defaults.process(image)
    assert len(faces) == 2
    assert distance(faces[0].points, near) < 0.05
    assert distance(faces[1].points, far) < 0.05


@pytest.mark.parametrize("degrees", [-30, 30, 60])
def test_turned_face(degrees: float, defaults: FaceMesh, astronaut: Pixels) -> None:
    turn = cv2.getRotationMatrix2D((226, 125), degrees, 1.0) + np.array([[0, 0, 30], [0, 0, 131]])
    image = cv2.warpAffine(astronaut, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    expected = ASTRONAUT_POINTS @ turn[:, :2].T + turn[:, 2]
    (face,) = defaults.process(np.asarray(image, np.uint8))
    assert distance(face.points, expected) < 0.05


@pytest.mark.parametrize("name", NO_FACE)
def test_no_face_where_there_is_none(name: str, defaults: FaceMesh, farther: FaceMesh) -> None:
    image = skimage_image(name)
    assert defaults.process(image) == []
    assert farther.process(image) == []


def test_no_face_in_noise(defaults: FaceMesh) -> None:
    random = np.random.default_rng(0)
    for size in ((480, 640), (200, 300)):
        assert defaults.process(random.integers(0, 256, (*size, 3), dtype=np.uint8)) == []


@pytest.mark.parametrize(
    ("size", "min_face_size"), [((640, 480), 0.03), ((1280, 720), 0.018), ((1920, 1080), 0.1)]
)
def test_network_input_is_large_enough_for_the_smallest_face(
    size: tuple[int, int], min_face_size: float
) -> None:
    detector = FullRangeDetector()
    levels = detector.level_sizes(*size, min_face_size)
    width, height = levels[0]
    assert width * min_face_size >= detector.SMALLEST_FACE
    assert width / height == pytest.approx(size[0] / size[1], rel=0.15)
    assert levels[-1] == (detector.LAST_LEVEL, detector.LAST_LEVEL)
    assert all(side % 32 == 0 for level in levels for side in level)


@pytest.mark.parametrize("size", [(2, 3000), (16, 2160), (1, 1)])
def test_network_input_stays_affordable_for_any_image(size: tuple[int, int]) -> None:
    for width, height in FullRangeDetector().level_sizes(*size, 0.0075):
        assert width * height <= 2048 * 2048
