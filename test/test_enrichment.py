"""What `FaceMesh` makes of landmarks: ids, smoothing, pose, gaze, and nothing of it unasked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from maix_facemesh_ros import SUB_5, Face, FaceMesh, ParameterError, enrichment
from maix_facemesh_ros.camera_model import CameraModel
from maix_facemesh_ros.face import Picture
from maix_facemesh_ros.head_pose import HeadPoseEstimator
from maix_facemesh_ros.one_euro import LandmarkSmoother
from scenes import scene

#: The faces of a scene are 640x360.
CAMERA = CameraModel.from_calibration(
    640, 360, (500.0, 0, 320, 0, 500, 180, 0, 0, 1), (-0.1, 0.02, 0, 0, 0), "plumb_bob"
)
LEFT, RIGHT = (170, 180, 95.0), (470, 170, 120.0)


def process(picture: Picture, camera: CameraModel | None = CAMERA, **values: Any) -> list[Face]:
    with FaceMesh(**values) as mesh:
        mesh.camera = camera
        return mesh.process(picture)


@pytest.fixture(scope="module")
def picture(astronaut: Picture) -> Picture:
    return scene(astronaut, LEFT, RIGHT)


def test_with_a_calibration_heads_are_in_space(picture: Picture) -> None:
    right, left = process(picture, pose=True)
    for face in (left, right):
        assert face.pose is not None
        assert face.points_3d is not None
        assert face.pose.shape == (4, 4)
        assert face.points_3d.shape == (478, 3)
        # A face of 95 to 120 pixels before a lens of 500 pixels is about as wide as a head.
        assert 0.5 < face.pose[2, 3] < 0.9
        assert face.gaze is None
    assert left.pose is not None
    assert right.pose is not None
    assert left.pose[0, 3] < -0.1 < 0.1 < right.pose[0, 3]
    assert left.pose[2, 3] / right.pose[2, 3] == pytest.approx(120 / 95, rel=0.1)


def test_gaze_comes_with_pose(picture: Picture) -> None:
    for face in process(picture, pose=True, gaze=True):
        assert face.gaze is not None
        assert face.pose is not None
        to_camera = -face.gaze.origin / np.linalg.norm(face.gaze.origin)
        # Eileen Collins looks into the camera, and was pasted beside the middle of this one.
        assert face.gaze.direction @ to_camera > math.cos(math.radians(30))
        assert np.linalg.norm(face.gaze.origin - face.pose[:3, 3]) < 0.05


def test_gaze_without_pose_is_refused() -> None:
    with pytest.raises(ParameterError, match="gaze needs pose, switch it on"):
        FaceMesh(gaze=True)


@pytest.mark.parametrize("camera", [None, CameraModel.from_field_of_view(320, 180, 60)])
def test_without_a_calibration_that_fits_there_is_no_pose(
    picture: Picture, camera: CameraModel | None
) -> None:
    for face in process(picture, camera, pose=True, gaze=True):
        assert (face.pose, face.points_3d, face.gaze) == (None, None, None)
        assert len(face.points) == 478


def test_a_field_of_view_may_be_assumed(picture: Picture) -> None:
    narrow, _ = process(picture, None, pose=True, assumed_field_of_view=40.0)
    wide, _ = process(picture, None, pose=True, assumed_field_of_view=80.0)
    assert narrow.pose is not None
    assert wide.pose is not None
    ratio = math.tan(math.radians(40)) / math.tan(math.radians(20))
    assert narrow.pose[2, 3] / wide.pose[2, 3] == pytest.approx(ratio, rel=0.05)


def test_a_calibration_counts_more_than_an_assumption(picture: Picture) -> None:
    one, _ = process(picture, pose=True)
    other, _ = process(picture, pose=True, assumed_field_of_view=120.0)
    np.testing.assert_array_equal(one.pose, other.pose)


def test_distances_are_proportional_to_the_size_of_the_head(picture: Picture) -> None:
    with FaceMesh(pose=True) as mesh:
        mesh.camera = CAMERA
        one, _ = mesh.process(picture)
        mesh.change(face_scale=0.8)
        other, _ = mesh.process(picture)
    assert one.pose is not None
    assert other.pose is not None
    np.testing.assert_allclose(other.pose[:3, 3], 0.8 * one.pose[:3, 3], rtol=1e-6)


def test_points_in_space_are_those_that_are_wanted(picture: Picture) -> None:
    every, _ = process(picture, pose=True)
    few, _ = process(picture, pose=True, landmarks_num=5)
    assert every.points_3d is not None
    np.testing.assert_array_equal(few.points_3d, every.points_3d[list(SUB_5)])
    np.testing.assert_array_equal(few.pose, every.pose)


def test_the_calibration_may_change_while_running(picture: Picture) -> None:
    with FaceMesh(pose=True) as mesh:
        assert mesh.process(picture)[0].pose is None
        mesh.camera = CAMERA
        assert mesh.process(picture)[0].pose is not None
        mesh.change(pose=False)
        assert mesh.process(picture)[0].pose is None


def test_faces_that_are_looked_for_anew_keep_their_ids_too(astronaut: Picture) -> None:
    """Without tracking, as with a MaixCAM; the larger one comes first, and they change places."""
    with FaceMesh(ids=True) as mesh:
        first = [face.id for face in mesh.process(scene(astronaut, LEFT, RIGHT), 1.0)]
        larger = (LEFT[0], LEFT[1], 150.0)
        second = [face.id for face in mesh.process(scene(astronaut, larger, RIGHT), 1.2)]
        assert mesh.process(scene(astronaut), 1.3) == []
        third = [face.id for face in mesh.process(scene(astronaut, RIGHT), 1.6)]
        fourth = [face.id for face in mesh.process(scene(astronaut, RIGHT, LEFT), 0.5)]
    assert (first, second, third) == ([1, 2], [2, 1], [1])
    assert fourth == [3, 4], "a stamp that goes back starts a new stream"


def test_without_ids_there_are_none(picture: Picture) -> None:
    assert [face.id for face in process(picture)] == [0, 0]


def test_pose_is_smoothed_with_the_landmarks(astronaut: Picture) -> None:
    """The camera's noise on a still face: how much the head seems to tremble."""
    random = np.random.default_rng(4)
    still = scene(astronaut, (320, 180, 90.0)).astype(np.int16)
    pictures = [
        np.clip(still + random.normal(0, 6, still.shape), 0, 255).astype(np.uint8)
        for _ in range(30)
    ]
    trembling = {}
    for smoothing in ("off", "one_euro"):
        with FaceMesh(tracking=True, pose=True, smoothing=smoothing, max_face_num=1) as mesh:
            mesh.camera = CAMERA
            poses = [
                mesh.process(picture, index / 30)[0].pose for index, picture in enumerate(pictures)
            ]
        places = np.array([pose[:3, 3] for pose in poses if pose is not None])[10:]
        forwards = np.array([pose[:3, 0] for pose in poses if pose is not None])[10:]
        degrees = np.degrees(np.linalg.norm(forwards - forwards.mean(axis=0), axis=1)).mean()
        trembling[smoothing] = (1000 * np.linalg.norm(places.std(axis=0)), degrees)
        print(f"smoothing {smoothing}: {trembling[smoothing][0]:.2f} mm, {degrees:.2f} degrees")
    assert trembling["one_euro"][0] < 0.7 * trembling["off"][0]
    assert trembling["one_euro"][1] < 0.7 * trembling["off"][1]


@pytest.mark.parametrize(
    "switched_off",
    [{}, {"tracking": True, "smoothing": "off"}, {"ids": True, "smoothing": "off"}],
)
def test_what_is_off_is_not_done(
    picture: Picture, monkeypatch: pytest.MonkeyPatch, switched_off: dict[str, Any]
) -> None:
    def not_wanted(*_arguments: object, **_values: object) -> None:
        raise AssertionError("it is off")

    monkeypatch.setattr(HeadPoseEstimator, "estimate", not_wanted)
    monkeypatch.setattr(enrichment, "estimate_gaze", not_wanted)
    monkeypatch.setattr(LandmarkSmoother, "smooth", not_wanted)
    if not switched_off:
        monkeypatch.setattr(enrichment, "FaceIds", not_wanted)
    assert len(process(picture, **switched_off)) == 2
