"""Blurred faces: no detector finds them, and lost ones stay blurred for a moment."""

from __future__ import annotations

import numpy as np
import pytest

from maix_facemesh_ros.blur import HELD_SECONDS, BlurRegion, FaceBlur, blur_region
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.image import Pixels
from scenes import scene


def face_at(x: float, face_id: int = 1) -> Face:
    return Face(id=face_id, box=(x, 50.0, 40.0, 40.0))


@pytest.mark.parametrize("size", [40.0, 120.0, 260.0])
def test_no_detector_finds_a_blurred_face(astronaut: Pixels, size: float) -> None:
    image = scene(astronaut, (320, 180, size))
    with FaceMesh(tracking=False) as mesh, FaceMesh(tracking=False, detector="short_range") as near:
        faces = mesh.process(image)
        (face,) = faces
        blurred = image.copy()
        FaceBlur().apply(blurred, faces, 0.0)
        assert mesh.process(blurred) == []
        assert near.process(blurred) == []
    region = BlurRegion.of(face)
    outside = np.ones(image.shape[:2], bool)
    rows, columns = np.mgrid[:360, :640]
    outside[
        (columns + 1 > region.left) & (columns < region.right)
        & (rows + 1 > region.top) & (rows < region.bottom)
    ] = False  # fmt: skip
    assert np.array_equal(blurred[outside], image[outside])
    # Every landmark is a good way inside.
    left, top = face.points.min(axis=0) - (region.left, region.top)
    right, bottom = (region.right, region.bottom) - face.points.max(axis=0)
    assert min(left, top, right, bottom) > 0.2 * np.ptp(face.points[:, 0])


def test_the_place_of_a_lost_face_stays_blurred_and_grows() -> None:
    blur = FaceBlur()
    (seen,) = blur.regions([face_at(100)], 5.0)
    (held,) = blur.regions([], 5.5)
    width = seen.right - seen.left
    assert held == pytest.approx(seen.grown(0.25 * width))
    assert len(blur.regions([], 5.0 + HELD_SECONDS)) == 1
    assert blur.regions([], 5.1 + HELD_SECONDS) == []


@pytest.mark.parametrize("face_id", [1, 0])
def test_a_moving_face_leaves_no_trail(face_id: int) -> None:
    """With ids or without."""
    blur = FaceBlur()
    for step in range(20):
        assert len(blur.regions([face_at(100 + 10 * step, face_id)], step / 30)) == 1


def test_others_do_not_end_a_lost_face() -> None:
    blur = FaceBlur()
    blur.regions([face_at(100, 1), face_at(400, 2)], 1.0)
    assert len(blur.regions([face_at(405, 2)], 1.1)) == 2


def test_a_stream_that_starts_again_forgets() -> None:
    blur = FaceBlur()
    blur.regions([face_at(100)], 50.0)
    assert blur.regions([], 1.0) == []


@pytest.mark.parametrize(
    "region",
    [BlurRegion(-50, -50, -1, -1), BlurRegion(-20, -20, 30, 30), BlurRegion(90, 40, 400, 400)],
)
def test_a_region_may_leave_the_image(region: BlurRegion) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (60, 100, 3), np.uint8)
    before = pixels.copy()
    blur_region(pixels, region)
    changed = (pixels != before).any(axis=2)
    assert changed.any() == (region.right > 0)
    rows, columns = np.nonzero(changed)
    assert all(region.left <= columns) and all(columns < region.right)
    assert all(region.top <= rows) and all(rows < region.bottom)
