"""`FaceMesh` on single images: what it takes, what it gives, what each parameter does."""

from __future__ import annotations

import dataclasses
import gc
import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from maix_facemesh_ros import (
    BLENDSHAPE_NAMES,
    SUB_5,
    SUB_68,
    SUB_146,
    Face,
    FaceMesh,
    FaceMeshParameters,
    ParameterError,
)
from maix_facemesh_ros.backends.onnx import blazeface
from maix_facemesh_ros.backends.onnx.blazeface import FullRangeDetector
from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarksNetwork
from maix_facemesh_ros.backends.onnx.network import Network
from maix_facemesh_ros.backends.onnx.roi import Roi, bounding_box
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Image, Pixels, Stamp
from scenes import ASTRONAUT_POINTS, distance, paste_head, plain, scene

SMALL, MIDDLE, LARGE = (90, 100, 60.0), (270, 180, 90.0), (490, 180, 130.0)
NOSE_TIP, RIGHT_CHEEK, LEFT_CHEEK = 4, 234, 454


@pytest.fixture(scope="module")
def mesh() -> Iterator[FaceMesh]:
    with FaceMesh() as mesh:
        yield mesh


@pytest.fixture(scope="module")
def three_faces(astronaut: Pixels) -> Pixels:
    return scene(astronaut, SMALL, MIDDLE, LARGE)


def find(image: Pixels, **parameters: Any) -> list[Face]:
    with FaceMesh(**parameters) as mesh:
        return mesh.process(image)


def same(first: list[Face], second: list[Face]) -> bool:
    """Whether two answers agree in every bit."""
    return len(first) == len(second) and all(
        np.array_equal(np.asarray(getattr(one, field.name)), np.asarray(getattr(other, field.name)))
        for one, other in zip(first, second, strict=True)
        for field in dataclasses.fields(Face)
    )


# What a face has.


def test_face_of_the_astronaut(mesh: FaceMesh, astronaut: Pixels) -> None:
    (face,) = mesh.process(astronaut)

    assert distance(face.points, ASTRONAUT_POINTS) < 0.02
    assert face.points.shape == (478, 2)
    assert face.points_z.shape == (478,)
    assert face.points.dtype == face.points_z.dtype == np.float32
    assert 0.5 <= face.score <= 1
    assert 0.9 <= face.landmarks_score <= 1
    assert face.box_keypoints.shape == (6, 2)
    x, y, width, height = face.box
    eyes = face.box_keypoints[:2]
    assert (eyes > (x, y)).all()
    assert (eyes < (x + width, y + height)).all()
    assert eyes[0, 0] < eyes[1, 0]


def test_what_is_not_asked_for_is_empty(mesh: FaceMesh, astronaut: Pixels) -> None:
    (face,) = mesh.process(astronaut)
    assert face.id == 0
    assert face.points_rel.shape == (0, 2)
    assert face.indices is None
    assert face.blendshapes is None
    assert face.pose is None
    assert face.points_3d is None


def test_nose_is_closer_than_the_cheeks(mesh: FaceMesh, astronaut: Pixels) -> None:
    (face,) = mesh.process(astronaut)
    assert face.points_z[NOSE_TIP] > 0
    assert face.points_z[RIGHT_CHEEK] < -10
    assert face.points_z[LEFT_CHEEK] < -10


def test_depth_grows_with_the_face(astronaut: Pixels) -> None:
    depths, widths = [], []
    for face_width in (60.0, 120.0):
        (face,) = find(scene(astronaut, (320, 180, face_width)))
        depths.append(float(np.ptp(face.points_z)))
        widths.append(bounding_box(face.points)[2])
    assert depths[1] / depths[0] == pytest.approx(2, rel=0.05)
    assert depths[1] / depths[0] == pytest.approx(widths[1] / widths[0], rel=0.05)


def test_no_face(mesh: FaceMesh) -> None:
    assert mesh.process(plain()) == []


def test_same_image_gives_the_same_answer(mesh: FaceMesh, three_faces: Pixels) -> None:
    assert same(mesh.process(three_faces), mesh.process(three_faces))


def test_networks_are_freed_with_the_object(astronaut: Pixels) -> None:
    """At once: the garbage collector comes late, because it does not see their 10 MB."""
    gc.collect()
    gc.disable()
    try:
        with FaceMesh() as mesh:
            mesh.process(astronaut)
        networks = weakref.ref(mesh._backend._provider)  # type: ignore[attr-defined]
        del mesh
        assert networks() is None
    finally:
        gc.enable()


# Which faces.


def test_two_largest_faces_by_default_the_largest_first(
    mesh: FaceMesh, three_faces: Pixels
) -> None:
    assert columns(mesh.process(three_faces)) == [LARGE[0], MIDDLE[0]]


@pytest.mark.parametrize(("limit", "faces"), [(1, 1), (2, 2), (3, 3), (9, 3), (0, 3), (-1, 3)])
def test_max_face_num(limit: int, faces: int, three_faces: Pixels) -> None:
    expected = [LARGE[0], MIDDLE[0], SMALL[0]][:faces]
    assert columns(find(three_faces, max_face_num=limit)) == expected


def columns(faces: list[Face]) -> list[int]:
    """Where the faces are, as the x of the head that was pasted there."""
    heads = (SMALL[0], MIDDLE[0], LARGE[0])
    return [min(heads, key=lambda x: abs(x - face.points[:, 0].mean())) for face in faces]


def test_face_in_doubt_depends_on_detect_conf_th(face_in_doubt: Pixels) -> None:
    (face,) = find(face_in_doubt, detect_conf_th=0.4)
    assert len(find(face_in_doubt, detect_conf_th=face.score - 0.01)) == 1
    assert find(face_in_doubt, detect_conf_th=face.score + 0.01) == []


def test_face_in_doubt_depends_on_landmarks_conf_th(face_in_doubt: Pixels) -> None:
    (face,) = find(face_in_doubt, detect_conf_th=0.4)
    assert face.landmarks_score < 0.99
    just_below, just_above = face.landmarks_score - 0.01, face.landmarks_score + 0.01
    assert len(find(face_in_doubt, detect_conf_th=0.4, landmarks_conf_th=just_below)) == 1
    assert find(face_in_doubt, detect_conf_th=0.4, landmarks_conf_th=just_above) == []


def test_without_require_landmarks_the_box_is_given(face_in_doubt: Pixels) -> None:
    (with_landmarks,) = find(face_in_doubt, detect_conf_th=0.4)
    (face,) = find(
        face_in_doubt, detect_conf_th=0.4, landmarks_conf_th=0.99, require_landmarks=False
    )

    assert face.box == with_landmarks.box
    assert face.score == with_landmarks.score
    assert face.landmarks_score == with_landmarks.landmarks_score
    assert face.points.shape == (0, 2)
    assert face.points_z.shape == (0,)
    assert face.points_rel.shape == (0, 2)


def test_box_without_landmarks_has_no_subset_and_no_expression(face_in_doubt: Pixels) -> None:
    (face,) = find(
        face_in_doubt,
        detect_conf_th=0.4,
        landmarks_conf_th=0.99,
        require_landmarks=False,
        landmarks_num=68,
        landmarks_rel=True,
        blendshapes=True,
    )
    assert face.indices is None
    assert face.blendshapes is None
    assert face.points.shape == face.points_rel.shape == (0, 2)


def test_require_landmarks_makes_no_difference_to_good_faces(
    mesh: FaceMesh, three_faces: Pixels
) -> None:
    assert same(mesh.process(three_faces), find(three_faces, require_landmarks=False))


def test_detector_is_given_the_parameters(
    astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def detect(_: FullRangeDetector, image: Image, **options: Any) -> list[Detection]:
        assert image.pixels is astronaut
        given.update(options)
        return []

    monkeypatch.setattr(FullRangeDetector, "detect", detect)
    find(astronaut, detect_conf_th=0.6, detect_iou_th=0.3, min_face_size=0.1, any_roll=False)
    assert given == {
        "score_threshold": 0.6,
        "overlap_threshold": 0.3,
        "min_face_size": 0.1,
    }


def test_detect_iou_th_says_when_boxes_are_one_face(astronaut: Pixels) -> None:
    def boxes(threshold: float) -> int:
        detections = FullRangeDetector().detect(
            Image(astronaut, "rgb", Stamp(0, 0)),
            score_threshold=0.5,
            overlap_threshold=threshold,
            min_face_size=0.1,
        )
        return len(detections)

    assert boxes(0.45) == 1
    assert boxes(1.0) > 1


def test_mediapipes_detectors_blend_at_mediapipes_overlap_by_default(
    astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def suppress(overlap_threshold: float, **_: FloatArray) -> list[Detection]:
        used.append(overlap_threshold)
        return []

    monkeypatch.setattr(blazeface, "suppress_weighted", suppress)
    for detector in ("full_range", "short_range"):
        find(astronaut, detector=detector)
    # FaceLandmarker's threshold is 0.5 where MaixPy's default is 0.45.
    assert used == pytest.approx([0.5] * len(used))
    assert len(used) >= 2


def test_face_found_by_several_boxes_is_given_once(astronaut: Pixels) -> None:
    assert len(find(astronaut, detect_iou_th=1.0, max_face_num=0)) == 1


def test_short_range_detector_finds_the_face_too(astronaut: Pixels) -> None:
    (face,) = find(astronaut, detector="short_range")
    assert distance(face.points, ASTRONAUT_POINTS) < 0.001


# Which landmarks.


@pytest.mark.parametrize(("number", "indices"), [(146, SUB_146), (68, SUB_68), (5, SUB_5)])
def test_landmarks_num(
    number: int, indices: tuple[int, ...], mesh: FaceMesh, astronaut: Pixels
) -> None:
    (every,) = mesh.process(astronaut)
    (some,) = find(astronaut, landmarks_num=number, landmarks_rel=True)
    assert_subset(some, every, indices)
    assert len(some.points) == len(some.points_rel) == number


def test_landmarks_indices_in_their_order(mesh: FaceMesh, astronaut: Pixels) -> None:
    (every,) = mesh.process(astronaut)
    (some,) = find(astronaut, landmarks_num=68, landmarks_indices=(477, 0, 4))
    assert_subset(some, every, (477, 0, 4))


def assert_subset(some: Face, every: Face, indices: tuple[int, ...]) -> None:
    assert some.indices is not None
    assert some.indices.dtype == np.uint16
    assert some.indices.tolist() == list(indices)
    np.testing.assert_array_equal(some.points, every.points[list(indices)])
    np.testing.assert_array_equal(some.points_z, every.points_z[list(indices)])


def test_landmarks_rel_are_pixels_of_the_crop(astronaut: Pixels) -> None:
    (face,) = find(astronaut, landmarks_rel=True)
    assert face.points.shape == face.points_rel.shape == (478, 2)
    assert (face.points_rel > 0).all()
    assert (face.points_rel < 256).all()
    # The crop is turned, enlarged and moved: the shape is the same.
    assert similarity_error(face.points_rel, face.points) < 0.01


def similarity_error(first: FloatArray, second: FloatArray) -> float:
    """Mean distance in pixels after the best turn, scale (one for each axis of first) and shift."""
    known = np.column_stack([first, np.ones(len(first))]).astype(np.float64)
    fit, *_ = np.linalg.lstsq(known, second, rcond=None)
    return float(np.linalg.norm(known @ fit - second, axis=1).mean())


def test_landmarks_rel_alone(astronaut: Pixels) -> None:
    (face,) = find(astronaut, landmarks_rel=True, landmarks_abs=False)
    assert face.points.shape == (0, 2)
    assert face.points_rel.shape == (478, 2)
    assert face.points_z.shape == (478,)


def test_neither_kind_of_landmarks_is_refused() -> None:
    with pytest.raises(ParameterError, match="landmarks_abs and landmarks_rel are both off"):
        FaceMesh(landmarks_abs=False)


def test_blendshapes_do_not_depend_on_the_landmarks_given(astronaut: Pixels) -> None:
    (face,) = find(astronaut, blendshapes=True)
    (few,) = find(astronaut, blendshapes=True, landmarks_num=5, landmarks_rel=True)
    assert face.blendshapes is not None
    assert few.blendshapes is not None
    assert face.blendshapes.shape == (len(BLENDSHAPE_NAMES),) == (52,)
    assert ((face.blendshapes >= 0) & (face.blendshapes <= 1)).all()
    scores = dict(zip(BLENDSHAPE_NAMES, face.blendshapes, strict=True))
    assert min(scores["mouthSmileLeft"], scores["mouthSmileRight"]) > 0.5
    assert max(scores["jawOpen"], scores["cheekPuff"]) < 0.2
    np.testing.assert_array_equal(few.blendshapes, face.blendshapes)


# Images.


def strided(image: Pixels) -> Pixels:
    wide = np.zeros((image.shape[0] * 2, image.shape[1] * 3, 3), np.uint8)
    wide[::2, ::3] = image
    return wide[::2, ::3]


def with_fourth_channel_hidden(image: Pixels) -> Pixels:
    four = np.full((*image.shape[:2], 4), 9, np.uint8)
    four[:, :, :3] = image
    return four[:, :, :3]


def with_padded_rows(image: Pixels) -> Pixels:
    padded = np.zeros((image.shape[0], image.shape[1] + 7, 3), np.uint8)
    padded[:, : image.shape[1]] = image
    return padded[:, : image.shape[1]]


def backwards(image: Pixels) -> Pixels:
    return image[::-1, ::-1].copy()[::-1, ::-1]


@pytest.mark.parametrize(
    "layout",
    [strided, with_fourth_channel_hidden, with_padded_rows, backwards, np.asfortranarray],
)
@pytest.mark.parametrize("detector", ["full_range", "short_range"])
def test_memory_layout_of_the_image_makes_no_difference(
    layout: Callable[[Pixels], Pixels], detector: str, astronaut: Pixels
) -> None:
    with FaceMesh(detector=detector) as mesh:
        assert same(mesh.process(layout(astronaut)), mesh.process(astronaut))


@pytest.mark.parametrize("detector", ["full_range", "short_range"])
def test_bgr_image_gives_the_same_as_rgb(detector: str, astronaut: Pixels) -> None:
    bgr = astronaut[:, :, ::-1]
    with FaceMesh(detector=detector, blendshapes=True) as mesh:
        expected = mesh.process(astronaut)
        assert same(mesh.process(bgr, bgr=True), expected)
        assert same(mesh.process(bgr.copy(), bgr=True), expected)
        assert not same(mesh.process(bgr.copy()), expected)


def test_image_is_only_read(astronaut: Pixels) -> None:
    # `astronaut` is read-only: writing into it would raise.
    image = astronaut.copy()
    find(image, tracking=True)
    np.testing.assert_array_equal(image, astronaut)
    assert len(find(astronaut)) == 1


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 40), (40, 3), (16, 16)])
def test_tiny_images_have_no_face(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert find(noise) == []
    assert find(noise, detector="short_range", tracking=True) == []


@pytest.mark.parametrize(
    ("image", "error", "found"),
    [
        (None, TypeError, "NoneType"),
        ([[1, 2, 3]], TypeError, "list"),
        (np.zeros((8, 8, 3)), TypeError, "float64"),
        (np.zeros((8, 8, 3), np.int8), TypeError, "int8"),
        (np.zeros((8, 8), np.uint8), ValueError, r"\(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), ValueError, r"\(8, 8, 4\)"),
        (np.zeros((3, 8, 8), np.uint8), ValueError, r"\(3, 8, 8\)"),
        (np.zeros((1, 8, 8, 3), np.uint8), ValueError, r"\(1, 8, 8, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), ValueError, r"\(0, 8, 3\)"),
    ],
)
def test_error_names_what_is_wrong_with_a_image(
    mesh: FaceMesh, image: Any, error: type[Exception], found: str
) -> None:
    with pytest.raises(error, match=rf"the image .*{found}.*\(height, width, 3\)"):
        mesh.process(image)


# The object.


def test_all_parameters_in_one_object(three_faces: Pixels) -> None:
    parameters = FaceMeshParameters(max_face_num=3)
    with FaceMesh(parameters) as mesh:
        assert mesh.parameters is parameters
        assert len(mesh.process(three_faces)) == 3
    with pytest.raises(ParameterError, match="either one parameters object or keywords"):
        FaceMesh(parameters, max_face_num=2)


def test_unknown_parameter() -> None:
    with pytest.raises(
        ParameterError, match="no parameter 'max_faces': did you mean 'max_face_num'"
    ):
        FaceMesh(max_faces=2)  # type: ignore[call-arg]


def test_signature_shows_the_parameters() -> None:
    shown = inspect.signature(FaceMesh).parameters
    assert list(shown) == [field.name for field in dataclasses.fields(FaceMeshParameters)]
    assert shown["max_face_num"].default == 2


def test_backend_is_told() -> None:
    with FaceMesh() as mesh:
        assert (mesh.parameters.backend, mesh.backend_name) == ("auto", "onnx")


def test_change_between_two_images(three_faces: Pixels) -> None:
    with FaceMesh() as mesh:
        assert len(mesh.process(three_faces)) == 2
        mesh.change(max_face_num=0, landmarks_num=5, blendshapes=True)
        faces = mesh.process(three_faces)
        assert [len(face.points) for face in faces] == [5, 5, 5]
        assert all(face.blendshapes is not None for face in faces)
        mesh.change(detect_conf_th=1.0)
        assert mesh.process(three_faces) == []


@pytest.mark.parametrize(
    "change",
    [
        {"max_face_num": 1, "detect_conf_th": 2.0},
        {"max_face_num": 1, "detector": "short_range"},
        {"max_face_num": 1, "unknown": 1},
        {"max_face_num": 1, "landmarks_abs": False},
    ],
)
def test_bad_change_changes_nothing(change: dict[str, Any], three_faces: Pixels) -> None:
    with FaceMesh() as mesh:
        before = mesh.parameters
        with pytest.raises(ParameterError):
            mesh.change(**change)
        assert mesh.parameters is before
        assert len(mesh.process(three_faces)) == 2


def test_several_threads_give_the_same_as_one(three_faces: Pixels) -> None:
    one = find(three_faces, max_face_num=0, threads=1)
    assert len(one) == 3
    assert same(find(three_faces, max_face_num=0, threads=4), one)


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> list[Pixels]:
    """What is given to the networks from now on."""
    given: list[Pixels] = []
    run = Network.run

    def recording(network: Network, tensor: Pixels) -> list[FloatArray]:
        given.append(tensor.copy())
        return run(network, tensor)

    monkeypatch.setattr(Network, "run", recording)
    return given


def test_detector_sees_black_beside_the_image(inputs: list[Pixels]) -> None:
    find(plain(gray=255), detector="short_range", any_roll=False)
    (seen,) = inputs
    assert (seen[0, 0] == 0).all()
    assert (seen[0, 64] == 255).all()


def test_landmark_network_sees_the_edge_repeated(inputs: list[Pixels]) -> None:
    roi = Roi(center_x=0, center_y=0, width=100, height=100, rotation=0.3)
    FaceLandmarksNetwork().find(Image(plain(gray=255), "rgb", Stamp(0, 0)), roi)
    (seen,) = inputs
    assert (seen == 255).all()


def test_face_over_the_edge_of_the_image(astronaut: Pixels) -> None:
    image = plain()
    expected = paste_head(image, astronaut, (30, 180), 100.0)
    assert expected[:, 0].min() < -10
    (face,) = find(image)
    assert distance(face.points, expected) < 0.05
