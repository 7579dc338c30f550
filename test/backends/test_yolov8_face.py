"""YOLOv8-face files: all layouts of exports give the faces that are in the image."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the tests build their networks with onnx")

from onnx import TensorProto

from blob_networks import (
    BOX_REACH,
    KEYPOINTS,
    NOSE,
    STRIDES,
    BlobView,
    Graph,
    face_box,
    face_keypoints,
    face_score,
    paint_blob,
)
from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.roi import roi_from_detection
from maix_facemesh_ros.backends.onnx.yolov8_face import YoloV8FaceDetector
from maix_facemesh_ros.image import Image, Pixels, Stamp
from maix_facemesh_ros.model_files import ModelError

LAYOUTS = ("decoded", "strides", "maixcam2", "maixcam")


def write_network(
    folder: Path,
    layout: str = "strides",
    size: tuple[int, int] = (640, 640),
    symbolic: bool = False,
) -> Path:
    """Write an export of a YOLOv8-face that sees blobs.

    Args:
        layout: one of LAYOUTS.
        size: width, height of the input.
        symbolic: leave batch, height and width of the declared shapes open.
    """
    width, height = size
    graph = Graph()
    views = [BlobView(graph, "images", stride, red=0, peak_value=1.0) for stride in STRIDES]
    grids = [(height // stride, width // stride) for stride in STRIDES]
    cells = sum(rows * columns for rows, columns in grids)
    batch: int | str = "batch" if symbolic else 1
    outputs: dict[str, tuple[str, tuple[int | str, ...]]] = {}
    sides: list[tuple[int | str, int | str]] = list(grids)
    count: int | str = cells
    if symbolic:
        sides, count = [(f"rows{stride}", f"columns{stride}") for stride in STRIDES], "anchors"

    flat_keypoints = _join(graph, [_keypoints(view) for view in views], len(KEYPOINTS) * 3)
    if layout == "strides":
        for stride, view, side in zip(STRIDES, views, sides, strict=True):
            head = graph.concat(_bins(view), view.score, _keypoints(view))
            outputs[f"head{stride}"] = head, (batch, 80, *side)
    elif layout == "maixcam2":
        for stride, view, side in zip(STRIDES, views, sides, strict=True):
            outputs[f"head{stride}"] = graph.concat(_bins(view), view.score), (batch, 65, *side)
        outputs["keypoints"] = flat_keypoints, (batch, 15, count)
    else:
        distances = _join(graph, [_distances(view) for view in views], 4)
        scores = graph.node("Sigmoid", _join(graph, [view.score for view in views], 1))
        if layout == "maixcam":
            outputs["dfl"] = graph.reshape(distances, 1, 1, 4, -1), (batch, 1, 4, count)
            outputs["sigmoid"] = scores, (batch, 1, count)
            outputs["keypoints"] = flat_keypoints, (batch, 15, count)
        else:
            head = _decode(graph, distances, scores, flat_keypoints, grids)
            outputs["output0"] = head, (batch, 20, count)
    shape = (batch, 3, "height", "width") if symbolic else (1, 3, height, width)
    return graph.save(folder / f"{layout}.onnx", shape, outputs)


def _distances(view: BlobView) -> str:
    """Left, top, right, bottom from the cell's center in cells: (1, 4, rows, columns)."""
    graph = view.graph
    left, top = (graph.node("Neg", center) for center in (view.x, view.y))
    starts = (left, top, view.x, view.y)
    return graph.concat(*(view.reach(*pair) for pair in zip(starts, BOX_REACH, strict=True)))


def _bins(view: BlobView) -> str:
    """The distances d as 16 bins, (1, 64, rows, columns): softmax of -(bin - d)^2 has mean d."""
    graph = view.graph
    bins = graph.constant(np.arange(16).reshape(1, 16, 1, 1))
    errors = [graph.node("Sub", d, bins) for d in graph.split(_distances(view), [1] * 4)]
    return graph.concat(*(graph.node("Neg", graph.node("Mul", e, e)) for e in errors))


def _keypoints(view: BlobView) -> str:
    """Raw key points, (1, 15, rows, columns): from the cell's corner in half cells, logits."""
    graph = view.graph
    seen = graph.node("Add", graph.node("Mul", view.score, 0.0), 5.0)
    channels = []
    for index, (x, y) in enumerate(KEYPOINTS):
        for center, distance in ((view.x, x), (view.y, y)):
            place = graph.node("Add", view.reach(center, distance), 0.5)
            channels.append(graph.node("Div", place, 2.0))
        channels.append(view.nose if index == NOSE else seen)
    return graph.concat(*channels)


def _join(graph: Graph, levels: list[str], channels: int) -> str:
    """(1, channels, rows, columns) of each stride as (1, channels, cells)."""
    return graph.concat(*(graph.reshape(level, 1, channels, -1) for level in levels), axis=2)


def _decode(
    graph: Graph, distances: str, scores: str, keypoints: str, grids: list[tuple[int, int]]
) -> str:
    """What Ultralytics' export adds: boxes and key points in pixels, (1, 20, cells)."""
    anchors = np.concatenate(
        [np.mgrid[:rows, :columns][::-1].reshape(2, -1) + 0.5 for rows, columns in grids], axis=1
    )
    strides = np.repeat(STRIDES, [rows * columns for rows, columns in grids])
    anchor, stride = graph.constant(anchors[np.newaxis]), graph.constant(strides[None, None])
    near, far = graph.split(distances, [2, 2])
    start, end = graph.node("Sub", anchor, near), graph.node("Add", anchor, far)
    center = graph.node("Div", graph.node("Add", start, end), 2.0)
    box = graph.node("Mul", graph.concat(center, graph.node("Sub", end, start)), stride)

    places, seen = graph.split(graph.reshape(keypoints, 1, 5, 3, -1), [2, 1], axis=2)
    corner = graph.constant(anchors[None, None] - 0.5)
    places = graph.node("Add", graph.node("Mul", places, 2.0), corner)
    places = graph.node("Mul", places, stride)
    points = graph.concat(places, graph.node("Sigmoid", seen), axis=2)
    return graph.concat(box, scores, graph.reshape(points, 1, 15, -1))


def detect(
    detector: YoloV8FaceDetector,
    image: Pixels,
    bgr: bool = False,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.45,
    min_face_size: float = 0.05,
) -> list[Detection]:
    return detector.detect(
        Image(image, "bgr" if bgr else "rgb", Stamp(0, 0)),
        score_threshold=score_threshold,
        overlap_threshold=overlap_threshold,
        min_face_size=min_face_size,
    )


def black(width: int, height: int) -> Pixels:
    return np.zeros((height, width, 3), np.uint8)


def assert_face(
    face: Detection,
    center: tuple[float, float],
    side: float,
    brightness: float = 1.0,
    nose_seen: bool = True,
) -> None:
    """The face is the blob's, to a tenth of the blob's side (scaling blurs the blob)."""
    tolerance = 0.1 * side
    np.testing.assert_allclose(face.box, face_box(center, side), rtol=0, atol=2 * tolerance)
    expected = face_keypoints(center, side)
    if not nose_seen:
        expected[NOSE] = -1
    np.testing.assert_allclose(face.keypoints, expected, rtol=0, atol=tolerance)
    assert face.keypoints.dtype == np.float32
    assert face.score == pytest.approx(face_score(brightness), abs=0.02)


@pytest.fixture(params=LAYOUTS)
def detector(request: pytest.FixtureRequest, tmp_path: Path) -> YoloV8FaceDetector:
    return YoloV8FaceDetector(write_network(tmp_path, request.param))


@pytest.mark.parametrize(
    ("size", "center", "side"),
    [
        ((640, 640), (305.0, 331.0), 20),  # the network's own size: nothing is scaled
        ((640, 640), (200.0, 210.0), 6),  # stride 8
        ((640, 640), (303.0, 299.0), 12),  # stride 16
        ((1280, 720), (500.0, 380.0), 40),  # bars above and below
        ((1920, 1080), (1503.0, 402.0), 36),
        ((480, 640), (200.0, 300.0), 20),  # bars at the sides
        ((333, 777), (180.0, 400.0), 24),  # a scale and bars that are no whole numbers
        ((320, 240), (120.0, 100.0), 8),  # enlarged
    ],
)
def test_face_is_where_it_is(
    detector: YoloV8FaceDetector, size: tuple[int, int], center: tuple[float, float], side: int
) -> None:
    image = black(*size)
    paint_blob(image, center, side)
    (face,) = detect(detector, image)
    assert_face(face, center, side)


def test_face_moves_with_the_blob(detector: YoloV8FaceDetector) -> None:
    for x in range(300, 334, 3):
        image = black(640, 640)
        paint_blob(image, (x, 320), 10)
        (face,) = detect(detector, image)
        assert_face(face, (x, 320), 10)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(320, 224), (640, 384), (96, 160)])
def test_any_input_size(tmp_path: Path, layout: str, size: tuple[int, int]) -> None:
    detector = YoloV8FaceDetector(write_network(tmp_path, layout, size))
    image = black(640, 400)
    scale = min(size[0] / 640, size[1] / 400)
    side = 2 * round(2.6 / scale)
    paint_blob(image, (320, 180), side)
    (face,) = detect(detector, image)
    assert_face(face, (320, 180), side)


@pytest.mark.parametrize("layout", ["strides", "maixcam2", "maixcam"])
def test_symbolic_dimensions_follow_image_and_smallest_face(tmp_path: Path, layout: str) -> None:
    detector = YoloV8FaceDetector(write_network(tmp_path, layout, symbolic=True))
    for width, height in ((1280, 720), (720, 1280), (1280, 720)):
        image = black(width, height)
        paint_blob(image, (600.5, 400.5), 7)
        # Seen only with an input near the image's own size: the network needs 4 pixels.
        assert detect(detector, image, min_face_size=16 / 320) == []
        (face,) = detect(detector, image, min_face_size=16 / width)
        assert_face(face, (600.5, 400.5), 7)


def test_several_faces_come_most_confident_first(detector: YoloV8FaceDetector) -> None:
    image = black(640, 640)
    blobs = [((100.0, 120.0), 8, 0.7), ((420.0, 200.0), 30, 1.0), ((200.0, 500.0), 14, 0.8)]
    for center, side, brightness in blobs:
        paint_blob(image, center, side, brightness)
    faces = detect(detector, image)
    assert len(faces) == 3
    for face, index in zip(faces, (1, 2, 0), strict=True):
        assert_face(face, *blobs[index])


def test_score_threshold(detector: YoloV8FaceDetector) -> None:
    image = black(640, 640)
    paint_blob(image, (320, 320), 20, brightness=0.6)
    score = face_score(153 / 255)
    (face,) = detect(detector, image, score_threshold=score - 0.01)
    assert face.score == pytest.approx(score, abs=0.002)
    assert detect(detector, image, score_threshold=score + 0.01) == []


def test_overlap_threshold(detector: YoloV8FaceDetector) -> None:
    # Two boxes of 160x220, one 60 to the right of the other: they share 100 of 220 columns.
    image = black(640, 640)
    paint_blob(image, (270, 320), 20, brightness=1.0)
    paint_blob(image, (330, 320), 20, brightness=0.8)
    (face,) = detect(detector, image, overlap_threshold=100 / 220 - 0.05)
    assert_face(face, (270, 320), 20)
    assert len(detect(detector, image, overlap_threshold=100 / 220 + 0.05)) == 2


def test_image_without_a_face(detector: YoloV8FaceDetector) -> None:
    rng = np.random.default_rng(1)
    gray = rng.integers(0, 256, (300, 400, 1), np.uint8).repeat(3, axis=2)
    assert detect(detector, gray) == []


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


def test_bgr_is_rgb_in_another_order(detector: YoloV8FaceDetector) -> None:
    image = black(800, 600)
    paint_blob(image, (400, 300), 20)
    swapped = np.ascontiguousarray(image[:, :, ::-1])
    (rgb,), (bgr,) = detect(detector, image), detect(detector, swapped, bgr=True)
    assert bgr.box == rgb.box
    np.testing.assert_array_equal(bgr.keypoints, rgb.keypoints)
    assert detect(detector, image, bgr=True) == []


def test_all_layouts_give_the_same_faces(tmp_path: Path) -> None:
    image = black(1000, 700)
    for center, side in (((200, 200), 12), ((700, 300), 40), ((450, 560), 20)):
        paint_blob(image, center, side, green=side > 12)
    found = [
        detect(YoloV8FaceDetector(write_network(tmp_path, layout)), image) for layout in LAYOUTS
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


def test_roi_is_the_crop_of_maixpy(detector: YoloV8FaceDetector) -> None:
    image = black(640, 640)
    paint_blob(image, (320, 320), 20)
    (face,) = detect(detector, image)
    roi = roi_from_detection(face.box, face.keypoints, detector.roi_rule)
    assert (roi.width, roi.height) == pytest.approx((220 * 1.2, 220 * 1.2), rel=0.02)


def test_threads_share_a_detector(detector: YoloV8FaceDetector) -> None:
    def find(x: int) -> tuple[float, float, float, float]:
        image = black(640 + x, 480)
        paint_blob(image, (x, 240), 20)
        (face,) = detect(detector, image)
        return face.box

    places = list(range(100, 500, 40))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(find, places))
    assert together == [find(x) for x in places]


def test_odd_images(detector: YoloV8FaceDetector) -> None:
    for width, height in ((1, 1), (3000, 2), (1, 700)):
        assert detect(detector, black(width, height)) == []
    strided = black(1280, 720)[::2, ::2]
    assert not strided.flags.c_contiguous
    paint_blob(strided, (300, 200), 20)
    (face,) = detect(detector, strided)
    assert_face(face, (300, 200), 20)


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
    whole = write_network(tmp_path).read_bytes()
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"damaged\.onnx"):
        YoloV8FaceDetector(damaged)


def test_real_weights_find_the_astronaut() -> None:
    path = os.environ.get("YOLOV8_FACE_MODEL")
    if path is None:
        pytest.skip("the weights are GPL: name a YOLOv8-face file in YOLOV8_FACE_MODEL to try it")
    data = pytest.importorskip("skimage.data", reason="scikit-image has the astronaut image")
    (face,) = detect(YoloV8FaceDetector(Path(path)), data.astronaut())
    assert face.box == pytest.approx((181, 60, 88, 117), abs=10)
    # Irises, nose, corners of the mouth as MediaPipe's FaceLandmarker sees them.
    expected = [(203, 101), (246, 103), (224, 127), (202, 139), (244, 141)]
    np.testing.assert_allclose(face.keypoints, expected, rtol=0, atol=8)
