"""`FaceMesh` on a stream: ids, resting detector, lost and new faces, stamps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from maix_facemesh_ros import Face, FaceMesh, ParameterError
from maix_facemesh_ros.backends.onnx.blazeface import FullRangeDetector
from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarks, FaceLandmarksNetwork
from maix_facemesh_ros.backends.onnx.rejected import CHECKS
from maix_facemesh_ros.backends.onnx.roi import Roi, RoiRule, bounding_box, roi_from_landmarks
from maix_facemesh_ros.backends.onnx.search import SearchArea, Thumbnail
from maix_facemesh_ros.backends.onnx.tracker import FaceTracker, TrackerState, open_networks
from maix_facemesh_ros.face import Box, FloatArray
from maix_facemesh_ros.image import Image, Pixels, Stamp
from maix_facemesh_ros.parameters import FaceMeshParameters
from scenes import distance, paste_head, plain, scene

DEFAULT_FACE_SIZE = FaceMeshParameters().min_face_size
LEFT, RIGHT = (150, 180, 90.0), (480, 180, 100.0)


class Looks:
    """Counts the runs of the detector for faces of every size, in upright images."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("detect", "search"):  # the whole image, or parts of it
            self._count(monkeypatch, name)
        larger = FaceTracker._larger_detections

        def uncounted(*arguments: Any) -> list[Detection] | None:
            before = self.count
            found = larger(*arguments)
            self.count = before
            return found

        monkeypatch.setattr(FaceTracker, "_larger_detections", uncounted)

    def _count(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        method = getattr(FullRangeDetector, name)

        def counting(*arguments: Any, **options: Any) -> list[Detection]:
            quarters = arguments[3] if len(arguments) > 3 else 0
            # Whole images that are turned are searched for larger faces only.
            smallest = options.get("min_face_size", DEFAULT_FACE_SIZE)
            self.count += smallest == DEFAULT_FACE_SIZE and not quarters
            found: list[Detection] = method(*arguments, **options)
            return found

        monkeypatch.setattr(FullRangeDetector, name, counting)

    def during(self, mesh: FaceMesh, image: Pixels) -> bool:
        """Process an image; return whether the detector ran on it."""
        before = self.count
        mesh.process(image)
        return self.count > before


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


@pytest.fixture(scope="module")
def one_face(astronaut: Pixels) -> Pixels:
    return scene(astronaut, LEFT)


@pytest.fixture(scope="module")
def two_faces(astronaut: Pixels) -> Pixels:
    return scene(astronaut, LEFT, RIGHT)


@pytest.fixture
def mesh() -> Iterator[FaceMesh]:
    with FaceMesh(tracking=True) as mesh:
        yield mesh


@pytest.fixture
def mesh_of_one() -> Iterator[FaceMesh]:
    """Follows one face, so that the detector rests while it is in view; without smoothing."""
    with FaceMesh(tracking=True, max_face_num=1, smoothing="off") as mesh:
        yield mesh


def ids(faces: list[Face]) -> list[int]:
    return [face.id for face in faces]


# Identity.


def test_faces_are_numbered_from_1_and_keep_their_numbers(
    mesh: FaceMesh, two_faces: Pixels
) -> None:
    for _ in range(4):
        assert ids(mesh.process(two_faces)) == [1, 2]  # the largest is first


def test_moving_and_growing_face_is_followed(
    mesh_of_one: FaceMesh, astronaut: Pixels, looks: Looks
) -> None:
    for step in range(25):
        image = plain()
        center, width = (120 + 12 * step, 150 + 2 * step), 60.0 * 1.03**step
        expected = paste_head(image, astronaut, center, width)
        (face,) = mesh_of_one.process(image)
        assert face.id == 1
        assert distance(face.points, expected) < 0.04
    assert looks.count == 1


def test_numbers_stay_with_their_faces_when_the_order_changes(
    mesh: FaceMesh, astronaut: Pixels
) -> None:
    first = mesh.process(scene(astronaut, (150, 180, 80.0), (480, 180, 90.0)))
    assert ids(first) == [1, 2]
    for left_width in (84.0, 88.0, 92.0, 96.0, 100.0):
        faces = mesh.process(scene(astronaut, (150, 180, left_width), (480, 180, 90.0)))
    assert ids(faces) == [2, 1]
    assert faces[0].points[:, 0].mean() < 320


def test_new_face_gets_a_new_number(mesh: FaceMesh, one_face: Pixels, two_faces: Pixels) -> None:
    assert ids(mesh.process(one_face)) == [1]
    answers = [ids(mesh.process(two_faces)) for _ in range(mesh.parameters.detect_interval)]
    assert answers[-1] == [2, 1]  # the new face is the larger one
    assert all(1 in answer for answer in answers)


def test_face_that_went_for_long_comes_back_with_a_new_number(
    mesh: FaceMesh, one_face: Pixels
) -> None:
    assert ids(mesh.process(one_face, 1.0)) == [1]
    assert mesh.process(plain(), 1.1) == []
    assert ids(mesh.process(one_face, 1.4)) == [1], "within id_timeout"
    assert mesh.process(plain(), 1.5) == []
    assert ids(mesh.process(one_face, 2.0)) == [2]


def test_without_tracking_each_image_stands_alone(looks: Looks, one_face: Pixels) -> None:
    with FaceMesh(max_face_num=1) as mesh:
        first, second = mesh.process(one_face, 0.0), mesh.process(one_face, 1.0)
    assert ids(first) == ids(second) == [0]
    np.testing.assert_array_equal(first[0].points, second[0].points)
    assert looks.count == 2


def test_two_tracks_that_end_in_one_face_become_one(
    mesh: FaceMesh, two_faces: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_landmarks = FaceLandmarksNetwork.find
    regions: list[Roi] = []

    def find_the_first(network: FaceLandmarksNetwork, image: Image, roi: Roi) -> FaceLandmarks:
        regions.append(roi)
        return find_landmarks(network, image, regions[0])

    assert ids(mesh.process(two_faces)) == [1, 2]
    monkeypatch.setattr(FaceLandmarksNetwork, "find", find_the_first)
    assert len(mesh.process(two_faces)) == 1


# The detector's rest.


def test_detector_rests_while_all_faces_are_tracked(
    mesh_of_one: FaceMesh, one_face: Pixels, looks: Looks
) -> None:
    assert [looks.during(mesh_of_one, one_face) for _ in range(12)] == [True] + 11 * [False]


def test_detector_looks_for_more_faces_at_its_interval(looks: Looks, one_face: Pixels) -> None:
    with FaceMesh(tracking=True, max_face_num=2, detect_interval=4) as mesh:
        looked = [looks.during(mesh, one_face) for _ in range(9)]
    assert looked == [True, False, False, False, True, False, False, False, True]


def test_detector_looks_at_every_image_without_a_face_that_changes(
    mesh_of_one: FaceMesh, looks: Looks
) -> None:
    random = np.random.default_rng(0)
    for _ in range(5):
        image = plain()
        x, y = random.integers(0, 300, 2).tolist()
        image[y : y + 40, x : x + 40] = 40
        assert looks.during(mesh_of_one, image)
    looked = [looks.during(mesh_of_one, image) for _ in range(9)]
    assert 2 <= sum(looked) <= 6, "near faces in every third image"


def test_face_that_jumps_is_found_again_in_the_same_image(
    mesh_of_one: FaceMesh, astronaut: Pixels
) -> None:
    mesh_of_one.process(scene(astronaut, LEFT))
    image = plain()
    expected = paste_head(image, astronaut, RIGHT[:2], RIGHT[2])
    (face,) = mesh_of_one.process(image)
    assert distance(face.points, expected) < 0.04


def test_one_of_two_faces_that_jumps_is_found_again_in_the_same_image(
    astronaut: Pixels, looks: Looks
) -> None:
    with FaceMesh(tracking=True, max_face_num=3, detect_interval=100) as mesh:
        mesh.process(scene(astronaut, (120, 180, 80.0), (350, 180, 70.0)))
        faces = mesh.process(scene(astronaut, (120, 180, 80.0), (540, 180, 70.0)))
    assert sorted(ids(faces)) == [1, 3]
    assert looks.count == 2


def test_face_without_landmarks_is_given_beside_one_that_is_tracked(
    astronaut: Pixels, face_in_doubt: Pixels, looks: Looks
) -> None:
    image = np.hstack([face_in_doubt, astronaut])
    with FaceMesh(
        tracking=True,
        max_face_num=3,
        detect_interval=100,
        detect_conf_th=0.4,
        landmarks_conf_th=0.99,
        require_landmarks=False,
    ) as mesh:
        for _ in range(3):
            assert sorted(ids(mesh.process(image))) == [1, 2]
    assert looks.count == 3


def test_look_brings_score_and_key_points_up_to_date(
    astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions = []
    find_landmarks = FaceLandmarksNetwork.find

    def counting(network: FaceLandmarksNetwork, image: Image, roi: Roi) -> FaceLandmarks:
        regions.append(roi)
        return find_landmarks(network, image, roi)

    monkeypatch.setattr(FaceLandmarksNetwork, "find", counting)
    with FaceMesh(tracking=True, detect_interval=1) as mesh:
        (before,) = mesh.process(scene(astronaut, LEFT))
        (after,) = mesh.process(scene(astronaut, (170, 180, 95.0)))
    assert before.id == after.id == 1
    assert after.score != before.score
    moved = after.box_keypoints - before.box_keypoints
    assert 10 < moved[:, 0].mean() < 30
    # A face that is known already costs the landmark network nothing.
    assert len(regions) == 2


def test_score_and_box_between_two_looks(mesh_of_one: FaceMesh, one_face: Pixels) -> None:
    (seen,) = mesh_of_one.process(one_face)
    (followed,) = mesh_of_one.process(one_face)
    assert seen.box_keypoints.shape == (6, 2)
    assert followed.box_keypoints.shape == (0, 2)
    assert followed.score == seen.score > 0.5
    assert followed.box == pytest.approx(bounding_box(followed.points))


def test_face_without_landmarks_is_given_in_every_image(
    looks: Looks, face_in_doubt: Pixels
) -> None:
    with FaceMesh(
        tracking=True, detect_conf_th=0.4, landmarks_conf_th=0.99, require_landmarks=False
    ) as mesh:
        for _ in range(3):
            (face,) = mesh.process(face_in_doubt)
            assert face.id == 1
            assert face.points.shape == (0, 2)
            assert face.box[2] > 0
    assert looks.count == 3


# Changes while running.


def test_lower_face_limit_keeps_the_largest(mesh: FaceMesh, two_faces: Pixels) -> None:
    mesh.process(two_faces)
    mesh.change(max_face_num=1)
    assert ids(mesh.process(two_faces)) == [1]
    mesh.change(max_face_num=2)
    for _ in range(mesh.parameters.detect_interval):
        faces = mesh.process(two_faces)
    assert ids(faces) == [1, 2], "the other one was out of sight for less than id_timeout"


def test_tracking_is_fixed_at_the_start(mesh: FaceMesh) -> None:
    with pytest.raises(ParameterError, match="tracking is fixed at the start"):
        mesh.change(tracking=False)  # type: ignore[call-arg]


def test_faces_are_followed_whatever_landmarks_are_given(astronaut: Pixels, looks: Looks) -> None:
    with FaceMesh(
        tracking=True, max_face_num=1, landmarks_abs=False, landmarks_rel=True, landmarks_num=5
    ) as mesh:
        for step in range(5):
            (face,) = mesh.process(scene(astronaut, (150 + 15 * step, 180, 90.0)))
            assert face.id == 1
            assert (face.points.shape, face.points_rel.shape) == ((0, 2), (5, 2))
    assert looks.count == 1


# Stamps and smoothing.


def moving(astronaut: Pixels) -> list[Pixels]:
    return [scene(astronaut, (200 + 4 * step, 180, 90.0)) for step in range(5)]


def last_points(images: list[Pixels], stamps: list[float | None], **parameters: Any) -> Any:
    values = {"tracking": True, "max_face_num": 1, **parameters}
    with FaceMesh(**values) as mesh:
        for image, stamp in zip(images, stamps, strict=True):
            (face,) = mesh.process(image, stamp)
    return face.points


def test_points_are_smoothed_unless_it_is_off(astronaut: Pixels) -> None:
    images = moving(astronaut)
    stamps: list[float | None] = [step / 30 for step in range(5)]
    raw = last_points(images, stamps, smoothing="off")
    smooth = last_points(images, stamps)
    lag = (raw - smooth)[:, 0].mean()
    assert 0.02 < lag < 2.0


def test_images_without_stamps_count_as_a_thirtieth_apart(astronaut: Pixels) -> None:
    images = moving(astronaut)
    without = last_points(images, [None] * 5)
    np.testing.assert_allclose(
        without, last_points(images, [step / 30 for step in range(5)]), atol=1e-3
    )
    np.testing.assert_allclose(
        without, last_points(images, [100.0, None, None, None, None]), atol=1e-3
    )
    slower = last_points(images, [step / 5 for step in range(5)])
    assert np.abs(slower - without).max() > 0.01


def test_smoothing_can_be_switched_while_running(astronaut: Pixels) -> None:
    images = moving(astronaut)
    raw = last_points(images, [None] * 5, smoothing="off")
    with FaceMesh(tracking=True, max_face_num=1) as mesh:
        for image in images[:4]:
            mesh.process(image)
        mesh.change(smoothing="off")
        (face,) = mesh.process(images[4])
    np.testing.assert_array_equal(face.points, raw)


def test_next_roi_comes_from_points_that_are_not_smoothed(astronaut: Pixels) -> None:
    images = moving(astronaut)
    answers = []
    for smoothing in ("one_euro", "off"):
        with FaceMesh(
            tracking=True, max_face_num=1, landmarks_rel=True, smoothing=smoothing
        ) as mesh:
            for image in images:
                (face,) = mesh.process(image)
        answers.append(face.points_rel)
    np.testing.assert_array_equal(answers[0], answers[1])


def test_stamp_that_jumps_back_starts_a_new_stream(
    mesh: FaceMesh, one_face: Pixels, looks: Looks
) -> None:
    assert ids(mesh.process(one_face, 10.0)) == [1]
    assert ids(mesh.process(one_face, 10.1)) == [1]
    assert ids(mesh.process(one_face, 3.0)) == [2]
    assert looks.count == 2
    assert ids(mesh.process(one_face, 3.1)) == [2]


@pytest.mark.parametrize("start", [3.0, 100.0], ids=["back", "forth"])
def test_after_a_jump_faces_are_those_of_a_new_stream(astronaut: Pixels, start: float) -> None:
    """What was played before, another bag or the same, leaves nothing behind but used ids."""
    images = moving(astronaut)
    answers = []
    for before in ([], images[:3]):
        with FaceMesh(tracking=True, max_face_num=1) as mesh:
            for number, image in enumerate(before):
                mesh.process(image, 10.0 + number / 30)
            answers.append(
                [mesh.process(image, start + n / 30)[0] for n, image in enumerate(images)]
            )
    for new, after_a_jump in zip(*answers, strict=True):
        assert (new.id, after_a_jump.id) == (1, 2)
        assert new.box == after_a_jump.box
        np.testing.assert_array_equal(new.points, after_a_jump.points)


def test_a_slow_camera_is_no_jump(mesh: FaceMesh, one_face: Pixels, looks: Looks) -> None:
    for stamp in (10.0, 11.0, 12.0):
        assert ids(mesh.process(one_face, stamp)) == [1]
    assert looks.count == 1


def test_equal_stamps_go_on_without_smoothing(astronaut: Pixels) -> None:
    images = moving(astronaut)
    with FaceMesh(tracking=True, max_face_num=1) as mesh:
        for image in images:
            (face,) = mesh.process(image, 1.0)
            assert face.id == 1
    raw = last_points(images, [None] * 5, smoothing="off")
    np.testing.assert_array_equal(face.points, raw)


@pytest.mark.parametrize("stamp", [float("nan"), float("inf"), float("-inf")])
def test_stamp_that_is_no_time_is_refused_and_changes_nothing(
    mesh: FaceMesh, one_face: Pixels, stamp: float
) -> None:
    mesh.process(one_face, 1.0)
    with pytest.raises(ValueError, match=r"stamp is -?(nan|inf): give the image's time"):
        mesh.process(one_face, stamp)
    assert ids(mesh.process(one_face, 1.1)) == [1]


def test_bad_image_changes_nothing(mesh: FaceMesh, one_face: Pixels) -> None:
    mesh.process(one_face, 1.0)
    with pytest.raises(ValueError, match="shape"):
        mesh.process(one_face[:, :, 0], 0.0)
    assert ids(mesh.process(one_face, 1.1)) == [1]


# Repetition.


def run(images: list[Pixels], **parameters: Any) -> list[list[Face]]:
    with FaceMesh(tracking=True, **parameters) as mesh:
        return [mesh.process(image, step / 30) for step, image in enumerate(images)]


def assert_same(first: list[list[Face]], second: list[list[Face]]) -> None:
    for faces, others in zip(first, second, strict=True):
        assert ids(faces) == ids(others)
        assert [face.box for face in faces] == [face.box for face in others]
        for face, other in zip(faces, others, strict=True):
            np.testing.assert_array_equal(face.points, other.points)
            np.testing.assert_array_equal(face.points_z, other.points_z)


def test_same_stream_gives_the_same_answers(astronaut: Pixels) -> None:
    images = moving(astronaut)
    assert_same(run(images), run(images))


def test_several_threads_give_the_same_as_one(astronaut: Pixels) -> None:
    images = [
        scene(astronaut, (120 + 4 * step, 180, 90.0), (500, 170 + 3 * step, 70.0))
        for step in range(5)
    ]
    one = run(images, threads=1)
    assert [len(faces) for faces in one] == 5 * [2]
    assert_same(run(images, threads=4), one)


# The provider.


class UnreadableImage:
    """An image that may be handed on, and of which nothing can be read."""

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"{name} is read")


class RecordedAnswers:
    """Gives one face that moves, whatever the image."""

    roi_rule = RoiRule()
    file_name = provider = "recorded"

    def __init__(self) -> None:
        self.rois: list[Roi] = []

    def detections(
        self, _image: Image, _parameters: FaceMeshParameters, _quarters: int = 0
    ) -> list[Detection]:
        eyes = np.array([[120, 120], [160, 120]], np.float32)
        return [Detection((100.0, 100.0, 80.0, 80.0), 0.9, eyes)]

    def areas(self, _image: Image, _min_face_size: float) -> Sequence[SearchArea]:
        return ()

    def thumbnail(self, _image: Image, _parameters: FaceMeshParameters) -> Thumbnail:
        return Thumbnail(np.full((45, 80), 128, np.float32), 1.0)

    def detections_in(
        self,
        image: Image,
        _areas: Sequence[SearchArea],
        parameters: FaceMeshParameters,
        quarters: int = 0,
    ) -> list[Detection]:
        return self.detections(image, parameters, quarters)

    def see_again(self, _image: Image, _box: Box, _turns: Sequence[int] = (0,)) -> Detection | None:
        raise NotImplementedError

    def landmarks(self, _image: Image, roi: Roi) -> FaceLandmarks:
        self.rois.append(roi)
        places = np.random.default_rng(0).uniform(100, 180, (478, 2)) + 2 * len(self.rois)
        points = places.astype(np.float32)
        return FaceLandmarks(0.9, points, np.zeros(478, np.float32), points)

    def eye_contrast(self, _image: Image, _points: FloatArray) -> tuple[float, float]:
        raise NotImplementedError

    def give_back_memory(self) -> None:
        pass


def test_the_tracker_reads_no_pixels() -> None:
    parameters, answers = FaceMeshParameters(tracking=True, any_roll=False), RecordedAnswers()
    tracker = FaceTracker(parameters, answers)
    image: Any = UnreadableImage()
    faces = [tracker.detect(image, parameters) for _ in range(40)]
    assert [face.id for found in faces for face in found] == [1] * 40
    assert answers.rois[5] == roi_from_landmarks(faces[4][0].points)


def test_another_tracker_continues_from_the_state(astronaut: Pixels) -> None:
    """Whole images are searched: the schedule of areas is not in the state."""
    parameters = FaceMeshParameters(
        tracking=True, detect_interval=4, max_face_num=3, require_landmarks=False
    )
    images = [
        Image(
            scene(astronaut, (150 + 4 * n, 180, 90.0), *[RIGHT] * (n % 9 < 6)), "rgb", Stamp(n, 0)
        )
        for n in range(14)
    ]
    networks = open_networks(parameters)
    whole = FaceTracker(parameters, networks)
    expected = [whole.detect(image, parameters) for image in images]
    state = TrackerState()
    for image, wanted in zip(images, expected, strict=True):
        tracker = FaceTracker(parameters, networks)
        tracker.state = state
        found = tracker.detect(image, parameters)
        state = tracker.state
        assert ids(found) == ids(wanted)
        for face, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(face.points, other.points)
    assert state == whole.state
    assert state.ids > 2


def test_landmarks_come_to_rest_on_a_still_image(astronaut: Pixels, two_faces: Pixels) -> None:
    for image in (astronaut, two_faces, scene(astronaut, (200, 150, 70.0))):
        with FaceMesh(tracking=True, smoothing="off") as mesh:
            found = [mesh.process(image) for _ in range(40)]
        for faces in found[25:]:
            for face, last in zip(faces, found[-1], strict=True):
                np.testing.assert_array_equal(face.points, last.points)


# A nearer face while all places are taken.


@pytest.mark.parametrize("limit", [1, 2])
def test_a_nearer_face_takes_the_place_of_the_smallest(astronaut: Pixels, limit: int) -> None:
    far = [(70, 70, 40.0), (70, 250, 44.0)][:limit]
    before, after = scene(astronaut, *far), scene(astronaut, *far, (420, 190, 150.0))
    with FaceMesh(tracking=True, max_face_num=limit) as mesh:
        for number in range(5):
            assert len(mesh.process(before, number / 30)) == limit
        seen_after = next(
            number
            for number in range(15)  # half a second
            if max(face.box[2] for face in mesh.process(after, (5 + number) / 30)) > 100
        )
        faces = mesh.process(after, 1.0)
    assert seen_after <= 10
    assert len(faces) == limit
    assert faces[0].id == limit + 1


@pytest.mark.parametrize(("limit", "ratio"), [(1, 1.4), (1, 2.0), (2, 1.6)])
def test_a_nearer_face_in_front_of_tracked_persons_is_found_within_half_a_second(
    astronaut: Pixels, limit: int, ratio: float
) -> None:
    """Nothing changes outside of the persons, who stand from edge to edge."""
    far = [(120 + 240 * place, 55, 60.0) for place in range(limit)]
    near = (120, round(90 + 65 * ratio), 60.0 * ratio)
    before, after = (
        np.ascontiguousarray(scene(astronaut, *heads)[:, : 240 * limit])
        for heads in (far, [*far, near])
    )
    with FaceMesh(tracking=True, max_face_num=limit) as mesh:
        for number in range(12):  # The detector has run for larger faces in the 11th image.
            assert len(mesh.process(before, number / 30)) == limit
        widths = [mesh.process(after, (12 + number) / 30)[0].box[2] for number in range(15)]
    assert widths[0] < 70 < 0.9 * near[2] < widths[-1]


def test_two_faces_of_one_size_do_not_take_turns(astronaut: Pixels) -> None:
    images = [
        scene(astronaut, (150, 180, 100.0 + growth), (480, 180, 105.0 - growth))
        for growth in (0.0, 5.0, 10.0)
    ]
    with FaceMesh(tracking=True, max_face_num=1, detect_interval=2) as mesh:
        seen = {face.id for image in images * 6 for face in mesh.process(image)}
    assert seen == {1}


def test_a_small_face_in_the_corner_of_a_near_ones_box_is_found(astronaut: Pixels) -> None:
    image = cv2.resize(astronaut[0:300, 80:380], (640, 640))
    small = cv2.resize(astronaut[50:190, 160:300], (64, 64), interpolation=cv2.INTER_AREA)
    for x, y in ((360, 318), (196, 318)):
        both = image.copy()
        both[y : y + 64, x : x + 64] = small
        with FaceMesh(max_face_num=0) as mesh:
            assert len(mesh.process(np.asarray(both, np.uint8))) == 2


class NoFaceAtFirst(RecordedAnswers):
    """Gives a detection in each image, which is a face from an image on."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: Counter[str] = Counter()
        self.is_face = False

    def detections(
        self, image: Image, parameters: FaceMeshParameters, quarters: int = 0
    ) -> list[Detection]:
        self.runs["turned" if quarters else "upright"] += 1
        return super().detections(image, parameters, quarters)

    def see_again(self, image: Image, _box: Box, turns: Sequence[int] = (0,)) -> Detection | None:
        return super().detections(image, FaceMeshParameters())[0] if 0 in turns else None

    def landmarks(self, image: Image, roi: Roi) -> FaceLandmarks:
        self.runs["landmarks"] += 1
        found = super().landmarks(image, roi)
        presence = 0.9 if self.is_face else 0.02
        return FaceLandmarks(presence, found.points, found.points_z, found.points_rel)


def test_a_false_detection_costs_little_and_a_face_is_found_soon() -> None:
    parameters, answers = FaceMeshParameters(tracking=True, detect_interval=10), NoFaceAtFirst()
    tracker = FaceTracker(parameters, answers)
    image = Image(np.zeros((360, 640, 3), np.uint8), "rgb", Stamp(0, 0))
    images = 300
    assert not any(tracker.detect(image, parameters) for _ in range(images))
    assert answers.runs["upright"] == images
    assert answers.runs["landmarks"] > 10
    assert answers.runs["turned"] < images / 10
    assert answers.runs["landmarks"] < images / 2
    answers.is_face = True
    assert any(tracker.detect(image, parameters) for _ in range(CHECKS[-1]))
