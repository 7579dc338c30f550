"""YOLOv8-face files: what only they have, such as layouts of exports and key points not seen.

What they have in common with YuNet: test_user_detectors.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the tests build their networks with onnx")

from onnx import TensorProto

from blob_networks import NOSE, Graph, assert_face, black, detect, face_keypoints, paint_blob
from maix_facemesh_ros.backends.onnx.yolov8_face import YoloV8FaceDetector
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.model_files import ModelError
from yolov8_networks import LAYOUTS, write_yolov8


@pytest.fixture(params=LAYOUTS)
def detector(request: pytest.FixtureRequest, tmp_path: Path) -> YoloV8FaceDetector:
    return YoloV8FaceDetector(write_yolov8(tmp_path, request.param))


def test_boxes_are_clipped_to_the_image_and_key_points_are_not(
    detector: YoloV8FaceDetector,
) -> None:
    image = black(640, 360)
    paint_blob(image, (610, 20), 20)
    (face,) = detect(detector, image)
    assert face.box == pytest.approx((530, 0, 110, 140), abs=2)
    np.testing.assert_allclose(face.keypoints, face_keypoints((610, 20), 20), rtol=0, atol=1)
    assert face.keypoints[:, 1].min() < 0

    paint_blob(image, (20, 340), 20)
    boxes = [face.box for face in detect(detector, image)]
    assert any(box == pytest.approx((0, 240, 100, 120), abs=2) for box in boxes)


def test_key_point_that_is_not_seen(detector: YoloV8FaceDetector) -> None:
    image = black(1000, 500)
    paint_blob(image, (500, 250), 20, green=False)
    (face,) = detect(detector, image)
    assert_face(face, (500, 250), 20, nose_seen=False)
    np.testing.assert_array_equal(face.keypoints[NOSE], [-1, -1])


def test_all_layouts_give_the_same_faces(tmp_path: Path) -> None:
    image = black(1000, 700)
    for center, side in (((200, 200), 12), ((700, 300), 40), ((450, 560), 20)):
        paint_blob(image, center, side, green=side > 12)
    found = [
        detect(YoloV8FaceDetector(write_yolov8(tmp_path, layout)), image) for layout in LAYOUTS
    ]
    for faces in found:
        assert len(faces) == 3
        by_place = zip(
            *(sorted(some, key=lambda face: face.box) for some in (faces, found[0])), strict=True
        )
        for face, other in by_place:
            # Bins are a little less exact than numbers.
            np.testing.assert_allclose(face.box, other.box, rtol=0, atol=0.3)
            np.testing.assert_allclose(face.keypoints, other.keypoints, rtol=0, atol=1e-3)
            assert face.score == pytest.approx(other.score, abs=1e-5)


def save_outputs(
    path: Path, *shapes: tuple[int, ...], size: tuple[int, ...] = (1, 3, 64, 64)
) -> Path:
    """Write a network that gives zeros of the shapes, whatever it sees."""
    graph = Graph()
    nothing = graph.node("Mul", graph.node("ReduceMax", "images", keepdims=0), 0.0)
    outputs: dict[str, tuple[str, tuple[int | str, ...]]] = {
        f"output{index}": (graph.node("Add", graph.constant(np.zeros(shape)), nothing), shape)
        for index, shape in enumerate(shapes)
    }
    return graph.save(path, size, outputs)


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 84, 84)],  # YOLOv8 of 80 classes; 84 is also the number of cells
        [(1, 5, 84)],  # a face detector without key points
        [(1, 56, 84)],  # YOLOv8-pose of people
        [(1, 300, 21)],  # exported with non-maximum suppression
        [(1, 80, 8, 8), (1, 80, 4, 4)],  # a stride is missing
        [(1, 65, 8, 8), (1, 65, 4, 4), (1, 65, 2, 2)],  # no key points
        [(1, 1000)],
        [()],
    ],
)
def test_other_networks_are_refused(tmp_path: Path, shapes: list[tuple[int, ...]]) -> None:
    path = save_outputs(tmp_path / "other.onnx", *shapes)
    with pytest.raises(ModelError) as refusal:
        YoloV8FaceDetector(path)
    message = str(refusal.value)
    assert str(path) in message
    for shape in shapes:
        assert str(list(shape)) in message
    for expected in ("[1, 20, 84]", "[1, 80, 8, 8], [1, 80, 4, 4], [1, 80, 2, 2]", "[1, 15, 84]"):
        assert expected in message


@pytest.mark.parametrize("size", [(1, 64, 64, 3), (4, 3, 64, 64), (1, 1, 64, 64), (1, 12)])
def test_other_inputs_are_refused(tmp_path: Path, size: tuple[int, ...]) -> None:
    path = save_outputs(tmp_path / "other.onnx", (1, 20, 84), size=size)
    with pytest.raises(ModelError, match=r"other\.onnx.*\[1, 3, height, width\]"):
        YoloV8FaceDetector(path)


def test_half_precision_is_refused(tmp_path: Path) -> None:
    graph = Graph()
    image = graph.node("Cast", "images", to=TensorProto.FLOAT)
    head = graph.node("Add", graph.constant(np.zeros((1, 20, 84))), graph.node("ReduceMax", image))
    path = graph.save(
        tmp_path / "half.onnx",
        (1, 3, 64, 64),
        {"output0": (head, (1, 20, 84))},
        input_type=TensorProto.FLOAT16,
    )
    with pytest.raises(ModelError, match=r"half\.onnx does not run on one float32 image of 64x64"):
        YoloV8FaceDetector(path)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        YoloV8FaceDetector(tmp_path / "missing.onnx")
    whole = write_yolov8(tmp_path).read_bytes()
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"damaged\.onnx"):
        YoloV8FaceDetector(damaged)


def test_real_weights_find_the_astronaut(astronaut: Pixels) -> None:
    path = os.environ.get("YOLOV8_FACE_MODEL")
    if path is None:
        pytest.skip("the weights are GPL: name a YOLOv8-face file in YOLOV8_FACE_MODEL to try it")
    (face,) = detect(YoloV8FaceDetector(Path(path)), astronaut)
    assert face.box == pytest.approx((181, 60, 88, 117), abs=10)
    # Irises, nose, corners of the mouth as MediaPipe's FaceLandmarker sees them.
    expected = [(203, 101), (246, 103), (224, 127), (202, 139), (244, 141)]
    np.testing.assert_allclose(face.keypoints, expected, rtol=0, atol=8)
