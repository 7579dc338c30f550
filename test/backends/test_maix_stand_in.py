"""The stand-in for MaixPy against what the real one was seen to do, and its knobs."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.backends.onnx.network import Network, image_bytes
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.model_files import find_model

REPOSITORY = Path(__file__).parents[2]
STAND_IN = Path(__file__).parents[1] / "support" / "maix_stand_in"
MAIXPY = Path(__file__).parents[1] / "data/maixpy"
GOLDEN = json.loads((MAIXPY / "golden.json").read_text())
API: dict[str, Any] = json.loads((MAIXPY / "api.json").read_text())

DETECTOR_MODEL = "/root/models/yolov8n_face.mud"
LANDMARKS_MODEL = "/root/models/face_landmarks.mud"


@pytest.fixture(scope="module")
def maix() -> Iterator[Any]:
    """The stand-in's modules under a name of their own, without what importing it does."""
    package = ModuleType("stand_in_for_maix")
    package.__path__ = [str(STAND_IN / "maix")]
    sys.modules[package.__name__] = package
    for name in ("app", "camera", "display", "err", "image", "nn", "sys", "time"):
        setattr(package, name, importlib.import_module(f"{package.__name__}.{name}"))
    yield package
    for name in [name for name in sys.modules if name.startswith(package.__name__)]:
        del sys.modules[name]


@pytest.fixture
def knob(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda name, value: monkeypatch.setenv(f"MAIX_STAND_IN_{name}", str(value))


def run_app(code: str, **knobs: object) -> subprocess.CompletedProcess[str]:
    """Run an app as on a device, only with another PYTHONPATH."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(STAND_IN), str(REPOSITORY)]),
        **{f"MAIX_STAND_IN_{name}": str(value) for name, value in knobs.items()},
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def image_of(maix: Any, pixels: Pixels) -> Any:
    return maix.image.cv2image(pixels, bgr=False, copy=True)


def stored(name: str) -> Pixels:
    """An image of the real one, in RGB."""
    bgr = cv2.imread(str(MAIXPY / name))
    assert bgr is not None, name
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def crop_of_golden(landmarks: Any, image: Any, case: dict[str, Any]) -> Any:
    box = (case["x"], case["y"], case["w"], case["h"])
    return landmarks.crop_image(
        image, *box, case["points"], case["width"], case["height"], case["scale"]
    )


# What the real one was seen to do.


@pytest.mark.parametrize("case", GOLDEN["crop"], ids=lambda case: str(case["file"]))
def test_crops_are_those_of_the_real_one(maix: Any, astronaut: Pixels, case: Any) -> None:
    crop = crop_of_golden(maix.nn.FaceLandmarks(), image_of(maix, astronaut), case)
    expected = stored(case["file"])
    same = (maix.image.image2cv(crop, False, False) == expected).all(axis=2).mean()
    print(f"{case['file']}: {same:.4%} of the pixels are the same")
    assert same >= 0.999


@pytest.mark.parametrize("case", GOLDEN["draw"], ids=lambda case: str(case["file"]))
def test_landmarks_are_drawn_as_by_the_real_one(maix: Any, astronaut: Pixels, case: Any) -> None:
    points = GOLDEN["points_478"] if case["num"] == 478 else case["points"]
    depths = GOLDEN["z_478"] if case["z"] and case["num"] == 478 else case["z"]
    image = image_of(maix, astronaut)
    maix.nn.FaceLandmarks().draw_face(image, points, case["num"], depths, *case["radius"])
    drawn = maix.image.image2cv(image, False, False)
    np.testing.assert_array_equal(drawn, stored(case["file"]))


def test_a_lowest_depth_that_stands_first_is_overlooked(maix: Any) -> None:
    # No image of the real one has it; these are the numbers of its source on x86.
    image = maix.image.Image(100, 50, bg=maix.image.COLOR_RED)
    maix.nn.FaceLandmarks().draw_face(image, [20, 30, 50, 30, 80, 30], 3, [-4, 8, 0])
    pixels = maix.image.image2cv(image, False, False)
    assert pixels[30, [20, 50, 80], 0].tolist() == [-127 & 0xFF, 255, 0]


def test_equal_depths_are_drawn_black_and_a_single_one_white(maix: Any) -> None:
    landmarks = maix.nn.FaceLandmarks()
    for points, depths, gray in (([20, 30, 50, 30], [7, 7], 0), ([20, 30], [-5], 255)):
        image = maix.image.Image(100, 50, bg=maix.image.COLOR_RED)
        landmarks.draw_face(image, points, len(depths), depths)
        assert maix.image.image2cv(image)[30, 20].tolist() == [gray] * 3


def test_draw_face_refuses_what_the_real_one_refuses(maix: Any) -> None:
    image, landmarks = maix.image.Image(100, 50), maix.nn.FaceLandmarks()
    for points, number in (([], 0), ([1, 2, 3], 1), ([1, 2], 2)):
        with pytest.raises(RuntimeError, match="keypoints size must > 0"):
            landmarks.draw_face(image, points, number)
    with pytest.raises(RuntimeError, match="num must <= points_z size"):
        landmarks.draw_face(image, [1, 2, 3, 4], 2, [5])


# Names and signatures.


def parameters_of_api(signature: str) -> list[tuple[str, str]]:
    """Names and defaults of a signature such as "read(self: X, block: bool = True) -> Y"."""
    inside = re.sub(r"\) -> .*$|\)$", "", signature.split("(", 1)[1])
    parts = re.split(r", (?=\w+(?::|$))", inside) if inside else []
    found = []
    for part in parts:
        name, _, default = part.partition(" = ")
        found.append((name.split(":")[0], default))
    return found


def parameters_of(function: Any) -> list[tuple[str, str]]:
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        default: Any = parameter.default
        if default is inspect.Parameter.empty:
            text = ""
        elif type(default).__name__ == "Color":
            text = "Color"
        else:
            text = repr(list(default) if isinstance(default, tuple) else default)
        found.append((name, text))
    return found


def public(owner: Any) -> set[str]:
    return {name for name in vars(owner) if not name.startswith("_")}


def find(maix: Any, owner: str) -> Any:
    module, *inner = owner.split(".")
    return getattr(getattr(maix, module), inner[0]) if inner else getattr(maix, module)


@pytest.mark.parametrize("owner", [owner for owner in API if isinstance(API[owner], dict)])
def test_signatures_are_those_of_the_real_one(maix: Any, owner: str) -> None:
    there = find(maix, owner)
    signatures = {name: value[0] for name, value in API[owner].items() if isinstance(value, list)}
    # These are Python's own functions, in the real one too.
    for name in {"sleep", "time"} & set(signatures):
        assert getattr(there, name) is getattr(time, name)
        del signatures[name]
    known = {name: text for name, text in signatures.items() if hasattr(there, name)}
    expected = {name: parameters_of_api(text) for name, text in known.items()}
    assert {name: parameters_of(getattr(there, name)) for name in known} == expected
    print(f"{owner}: {len(known)} of {len(signatures)} functions, alike")


def test_what_an_app_needs_is_there(maix: Any) -> None:
    needed = {
        "nn.YOLOv8": "__init__ load detect input_width input_height input_format input_size",
        "nn.YOLO11": "__init__ load detect input_width input_height input_format input_size",
        "nn.FaceLandmarks": "__init__ load crop_image detect draw_face input_width input_height "
        "input_format input_size",
        "nn.Objects": "__init__ add at remove",
        "image.Image": "width height format data_size to_bytes to_jpeg to_format resize "
        "draw_circle draw_rect draw_string",
        "image": "image2cv cv2image from_bytes load",
        "camera.Camera": "__init__ open read width height fps close format is_opened is_closed",
        "display.Display": "__init__ show width height close",
        "app": "need_exit set_exit_flag get_app_data_path get_app_config_kv set_app_config_kv "
        "app_id get_app_config_path",
        "time": "ticks_us ticks_ms ticks_s sleep_ms sleep_us sleep time",
        "sys": "device_name maixpy_version ip_address host_name host_domain",
    }
    for owner, names in needed.items():
        for name in names.split():
            assert name in API[owner], f"{owner}.{name}"
            assert callable(getattr(find(maix, owner), name)), f"{owner}.{name}"


@pytest.mark.parametrize("owner", [owner for owner in API if "." in owner])
def test_no_class_has_more_than_the_real_one(maix: Any, owner: str) -> None:
    names = API[owner]
    there = find(maix, owner)
    if isinstance(names, list):
        assert public(there) == set(names)
        return
    made = there(1, 1) if owner == "image.Image" else there()
    inherited = {name for base in there.__mro__[:-1] for name in public(base)}
    assert public(made) | inherited <= set(names)
    properties = {name for name, value in names.items() if value == "property"}
    assert {name for name in properties if hasattr(made, name)} == properties


def test_formats_are_constants_of_the_module_too(maix: Any) -> None:
    for name in API["image.Format"]:
        assert getattr(maix.image, name) is getattr(maix.image.Format, name)
    assert maix.image.FMT_RGB888 == 0
    assert maix.image.FMT_JPEG != maix.image.FMT_PNG
    assert not isinstance(maix.image.FMT_RGB888, int)


# The networks.


@pytest.fixture
def landmarks(maix: Any) -> Any:
    return maix.nn.FaceLandmarks(model=LANDMARKS_MODEL)


@pytest.fixture
def detector(maix: Any) -> Any:
    return maix.nn.YOLOv8(model=DETECTOR_MODEL, dual_buff=False)


def fitted(maix: Any, pixels: Pixels, width: int, height: int) -> Any:
    image = image_of(maix, pixels)
    return image.resize(width, height, maix.image.Fit.FIT_CONTAIN, maix.image.ResizeMethod.AREA)


def crop_of_first(landmarks: Any, image: Any, face: Any) -> Any:
    return landmarks.crop_image(image, face.x, face.y, face.w, face.h, face.points)


@pytest.mark.parametrize("size", [(320, 224), (640, 480), (512, 512)])
def test_the_astronaut_is_found(
    maix: Any, detector: Any, landmarks: Any, astronaut: Pixels, size: tuple[int, int]
) -> None:
    image = fitted(maix, astronaut, *size)
    (face,) = detector.detect(image, conf_th=0.5, iou_th=0.45, sort=1)
    print(size, face.x, face.y, face.w, face.h, face.score, face.points)
    numbers = [face.x, face.y, face.w, face.h, face.class_id, *face.points]
    assert all(type(number) is int for number in numbers)
    assert len(face.points) == 10
    left_eye, right_eye, nose, left_mouth, right_mouth = zip(
        face.points[::2], face.points[1::2], strict=True
    )
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    found = landmarks.detect(crop_of_first(landmarks, image, face))
    assert found.valid
    assert found.score > 0.9
    # The tip of the nose and the corners of the mouth.
    scale = size[1] / 512
    for index, keypoint in ((4, nose), (61, left_mouth), (291, right_mouth)):
        place = found.points[2 * index : 2 * index + 2]
        assert np.hypot(*np.subtract(place, keypoint)) < 16 * scale, index
    golden = np.array(GOLDEN["points_478"]).reshape(-1, 2) * scale
    golden[:, 0] += (size[0] - size[1]) / 2
    error = np.hypot(*(np.array(found.points).reshape(-1, 2) - golden).T)
    print(f"{size}: {error.mean():.2f} pixels from the golden points on average")
    assert error.mean() < 6 * scale + 1


def test_boxes_are_cut_off_and_the_largest_is_first(
    maix: Any, detector: Any, astronaut: Pixels
) -> None:
    two = np.zeros((224, 320, 3), np.uint8)
    two[10:90, 10:90] = cv2.resize(astronaut[30:230, 120:320], (80, 80))
    two[:190, 130:] = cv2.resize(astronaut[60:260, 120:320], (190, 190))
    faces = list(detector.detect(image_of(maix, two), 0.3, 0.45, sort=1))
    assert len(faces) == 2
    assert faces[0].w * faces[0].h > faces[1].w * faces[1].h
    faces = list(detector.detect(image_of(maix, two), 0.3, 0.45, sort=-1))
    assert faces[0].w * faces[0].h < faces[1].w * faces[1].h
    for face in faces:
        assert face.x >= 0 and face.y >= 0
        assert face.x + face.w <= 320 and face.y + face.h <= 224


def test_key_points_that_are_not_certain_are_not_seen(
    maix: Any, detector: Any, astronaut: Pixels
) -> None:
    (face,) = detector.detect(fitted(maix, astronaut, 320, 224), keypoint_th=1.0)
    assert face.points == [-1] * 10
    # In an image of another size, the real one scales the -1 as well.
    (face,) = detector.detect(fitted(maix, astronaut, 640, 448), keypoint_th=1.0)
    assert face.points == [-2] * 10


def test_an_eye_that_is_not_seen(maix: Any, detector: Any, astronaut: Pixels, knob: Any) -> None:
    images = [fitted(maix, astronaut, *size) for size in ((320, 224), (640, 448))]
    for value, expected in (("1", [-1, -1]), ("moved", [-2, -2])):
        knob("UNSEEN_EYE", value)
        (small,), (large,) = (detector.detect(image) for image in images)
        assert small.points[:2] == [-1, -1]
        assert large.points[:2] == expected
        assert min(large.points[2:]) > 0


def test_dual_buff_gives_the_faces_of_the_image_before(maix: Any, astronaut: Pixels) -> None:
    detector = maix.nn.YOLOv8(DETECTOR_MODEL)
    face, nothing = fitted(maix, astronaut, 320, 224), maix.image.Image(320, 224)
    counts = [len(detector.detect(image)) for image in (face, nothing, face, face)]
    assert counts == [0, 1, 0, 1]


def test_detect_takes_its_own_format_only(maix: Any, detector: Any, landmarks: Any) -> None:
    gray = maix.image.Image(256, 256, maix.image.FMT_GRAYSCALE)
    for network in (detector, landmarks):
        with pytest.raises(RuntimeError, match="input_type: RGB888, image format: GRAYSCALE"):
            network.detect(gray)
    with pytest.raises(RuntimeError, match="size not match"):
        landmarks.detect(maix.image.Image(255, 256))
    with pytest.raises(RuntimeError, match="Invalid arguments"):
        landmarks.detect(maix.image.Image(256, 256), landmarks_abs=False, landmarks_rel=False)


def test_landmarks_are_those_of_the_packages_network(
    maix: Any, landmarks: Any, astronaut: Pixels
) -> None:
    crop = crop_of_golden(landmarks, image_of(maix, astronaut), GOLDEN["crop"][1])
    pixels = maix.image.image2cv(crop, False, False)
    network = Network(find_model("face_landmarks.onnx"), kind="face_landmarks")
    raw = network.run(image_bytes(pixels, "rgb"))[0].reshape(478, 3)
    found = landmarks.detect(crop, 0.5, True, True)
    assert all(type(number) is int for number in found.points + found.points_z)
    assert len(found.points) == 4 * 478
    assert found.points[2 * 478 :] == np.trunc(raw[:, :2]).astype(int).reshape(-1).tolist()
    depths = np.array(found.points_z)
    assert np.abs(depths + raw[:, 2]).max() <= 0.5
    assert depths[4] > depths[234]  # The tip of the nose is closer than the ear.
    # The other way round: from the image into the crop with the arguments of the crop.
    absolute = np.array(found.points[: 2 * 478]).reshape(-1, 2)
    golden = np.array(GOLDEN["points_478"]).reshape(-1, 2)
    assert np.abs(absolute - golden).mean() < 4


def test_depths_are_rounded_as_c_does(maix: Any) -> None:
    numbers = np.array([0.5, -0.5, 1.5, 2.5, -2.5, 0.49, -0.49, 0.0], np.float32)
    assert maix.nn._rounded(numbers) == [1, -1, 2, 3, -3, 0, 0, 0]


def test_a_crop_is_used_up_by_the_absolute_landmarks(
    maix: Any, landmarks: Any, astronaut: Pixels
) -> None:
    crop = crop_of_golden(landmarks, image_of(maix, astronaut), GOLDEN["crop"][0])
    relative = landmarks.detect(crop, 0.5, False, True).points
    assert len(relative) == 2 * 478
    both = landmarks.detect(crop, 0.5, True, True).points  # The relative ones had left it there.
    assert both[2 * 478 :] == relative
    assert both[: 2 * 478] != relative
    again = landmarks.detect(crop, 0.5, True, False)
    assert again.valid
    assert again.points == relative
    assert any(again.points_z)
    assert landmarks.detect(crop, 0.5, True, True).points == relative + [0] * (2 * 478)


def test_landmarks_of_no_face_are_zeros_at_full_length(
    maix: Any, landmarks: Any, astronaut: Pixels
) -> None:
    black = maix.image.Image(256, 256)
    for flags, length in (((True, False), 2), ((False, True), 2), ((True, True), 4)):
        found = landmarks.detect(black, 0.5, *flags)
        assert not found.valid
        assert found.score < 0.5
        assert found.points == [0] * (length * 478)
        assert found.points_z == [0] * 478
    crop = crop_of_golden(landmarks, image_of(maix, astronaut), GOLDEN["crop"][0])
    assert not landmarks.detect(crop, 1.1).valid
    first = landmarks.detect(crop).points  # What is not valid leaves the crop in use.
    assert first != landmarks.detect(crop).points


def test_lists_of_results_are_copies(maix: Any) -> None:
    face = maix.nn.Object(points=[1, 2])
    face.points.append(3)
    assert face.points == [1, 2]
    with pytest.raises(TypeError):
        maix.nn.Object(x=1.5)
    with pytest.raises(IndexError):
        maix.nn.Objects().at(0)
    objects = maix.nn.Objects()
    objects.add(1, 2, 3, 4, score=0.5)
    assert [(face.x, face.h) for face in objects] == [(1, 4)]
    assert len(objects) == 1
    assert objects[0].score == 0.5
    assert objects.remove(0) == maix.err.Err.ERR_NONE
    assert objects.remove(0) == maix.err.Err.ERR_ARGS


def test_numbers_of_a_crop_are_whole(maix: Any, landmarks: Any) -> None:
    image = maix.image.Image(100, 100)
    for arguments in ((1.0, 2, 3, 4, [1, 2, 3, 4]), (1, 2, 3, 4, [1.0, 2, 3, 4])):
        with pytest.raises(TypeError):
            landmarks.crop_image(image, *arguments)


def test_models_that_are_missing_or_of_another_kind(maix: Any, tmp_path: Path, knob: Any) -> None:
    makers = (maix.nn.YOLOv8, maix.nn.YOLO11, maix.nn.FaceLandmarks)
    for make in makers:
        with pytest.raises(RuntimeError, match=r"^Not found: load model failed\n$"):
            make(model=str(tmp_path / "missing.mud"))
    knob("MODELS_AT", tmp_path)
    with pytest.raises(RuntimeError, match="Not found"):
        maix.nn.YOLOv8(DETECTOR_MODEL)
    model = tmp_path / "yolov8n_face.mud"
    model.write_text("[basic]\ntype = cvimodel\n[extra]\nmodel_type = yolov8\n")
    detector = maix.nn.YOLOv8(DETECTOR_MODEL)
    assert (detector.input_width(), detector.input_height()) == (320, 224)
    assert detector.labels == ["face"]
    with pytest.raises(RuntimeError, match="Invalid arguments: load model failed"):
        maix.nn.FaceLandmarks(str(model))


@pytest.mark.parametrize(
    "crash",
    [
        "landmarks.crop_image(image.Image(64, 64), 1, 2, 3, 4, [])",
        "nn.FaceLandmarks().detect(image.Image(256, 256))",
        "nn.YOLOv8().detect(image.Image(320, 224))",
    ],
)
def test_what_crashes_the_real_one_ends_the_process(crash: str) -> None:
    finished = run_app(
        "from maix import nn, image\n"
        f"landmarks = nn.FaceLandmarks({LANDMARKS_MODEL!r})\n"
        f"try:\n    {crash}\nexcept BaseException as error:\n    print(error)\nprint('alive')"
    )
    assert finished.returncode == -signal.SIGABRT
    assert "alive" not in finished.stdout
    assert "the real one ends the process" in finished.stderr


# Images.


def test_images_share_memory_only_without_a_copy(maix: Any, astronaut: Pixels) -> None:
    pixels = astronaut.copy()
    shared = maix.image.cv2image(pixels, bgr=False, copy=False)
    view = maix.image.image2cv(shared, ensure_bgr=True, copy=False)
    view[0, 0] = 7
    assert pixels[0, 0].tolist() == [7, 7, 7]
    assert view.shape == (512, 512, 3)
    copied = maix.image.image2cv(shared)
    assert copied[5, 6].tolist() == pixels[5, 6, ::-1].tolist()
    copied[0, 0] = 9
    assert pixels[0, 0, 0] == 7
    with pytest.raises(TypeError):
        maix.image.cv2image(pixels.astype(np.float32))


def test_formats_and_bytes(maix: Any, astronaut: Pixels, tmp_path: Path) -> None:
    pixels, image = image_of(maix, astronaut), maix.image
    assert pixels.data_size() == len(pixels.to_bytes()) == 512 * 512 * 3
    back = image.from_bytes(512, 512, image.FMT_RGB888, pixels.to_bytes())
    assert back.to_bytes() == pixels.to_bytes()
    bgr = pixels.to_format(image.FMT_BGR888)
    assert bgr.to_bytes()[:3] == pixels.to_bytes()[2::-1]
    nv21 = pixels.to_format(image.FMT_YVU420SP)
    assert nv21.data_size() == 512 * 512 * 3 // 2
    assert image.image2cv(nv21, False, False).shape == (512, 512, 1)
    restored = image.image2cv(nv21.to_format(image.FMT_RGB888), False).astype(int)
    assert np.abs(restored - astronaut).mean() < 6
    assert image.image2cv(pixels.to_format(image.FMT_GRAYSCALE), False).shape == (512, 512, 1)
    small, large = pixels.to_jpeg(51), pixels.to_jpeg(95)
    assert small.format() == image.FMT_JPEG
    assert small.data_size() < large.data_size() == len(large.to_bytes())
    file = tmp_path / "pixels.jpg"
    file.write_bytes(large.to_bytes())
    loaded = image.image2cv(image.load(str(file)), False).astype(int)
    assert np.abs(loaded - astronaut).mean() < 6
    assert image.load(str(tmp_path / "missing.jpg")) is None


def test_resizing_keeps_the_aspect_if_asked(maix: Any) -> None:
    white = maix.image.Image(100, 50, bg=maix.image.COLOR_WHITE)
    pixels = maix.image.image2cv(white.resize(80, 80, maix.image.Fit.FIT_CONTAIN))
    assert pixels[:20].max() == pixels[60:].max() == 0
    assert pixels[20:60].min() == 255
    assert maix.image.image2cv(white.resize(80, 80, maix.image.FIT_COVER)).min() == 255
    assert white.resize(-1, 10).width() == 20
    with pytest.raises(RuntimeError, match="not support object fit"):
        white.resize(80, 80, maix.image.Fit.FIT_NONE)


def test_drawing(maix: Any) -> None:
    image = maix.image
    pixels = image.Image(100, 60)
    assert pixels.draw_rect(10, 10, 20, 10, image.COLOR_RED, -1) is pixels
    pixels.draw_circle(60, 30, 3, image.COLOR_BLUE, -1)
    pixels.draw_string(2, 40, "478", image.COLOR_WHITE)
    pixels = image.image2cv(pixels, False)
    assert pixels[15, 15].tolist() == [255, 0, 0]
    assert pixels[30, 60].tolist() == [0, 0, 255]
    assert pixels[40:].any() and not pixels[:10].any()


# The camera, the clock and the rest.


def test_importing_takes_signals_and_prints_and_runs_an_app() -> None:
    finished = run_app(
        "import signal\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        "from maix import camera, display, image, nn, app, time, sys\n"
        "import maix\n"
        "assert signal.getsignal(signal.SIGINT) is not before\n"
        "print(sys.device_name(), sys.maixpy_version(), maix.__version__, app.app_id())\n"
        "try:\n    1 / 0\nexcept maix.err.Exception:\n    pass\n",
        DEVICE_NAME="maixcam2",
        MAIXPY_VERSION="4.11.6",
    )
    first, second = finished.stdout.splitlines()
    assert "stand-in" in first
    assert second == "maixcam2 4.11.6 4.11.6 maixpy"
    assert "TypeError: catching classes that do not inherit" in finished.stderr


def test_an_app_runs_from_the_camera_to_the_screen(tmp_path: Path) -> None:
    finished = run_app(
        "from maix import camera, display, image, nn, app\n"
        f"detector = nn.YOLOv8(model={DETECTOR_MODEL!r}, dual_buff=False)\n"
        f"landmarks = nn.FaceLandmarks(model={LANDMARKS_MODEL!r})\n"
        "size = detector.input_width(), detector.input_height()\n"
        "cam = camera.Camera(*size, detector.input_format())\n"
        "screen, shown = display.Display(), 0\n"
        "while not app.need_exit():\n"
        "    img = cam.read()\n"
        "    for face in detector.detect(img, conf_th=0.5, iou_th=0.45, sort=1):\n"
        "        crop = landmarks.crop_image(img, face.x, face.y, face.w, face.h, face.points)\n"
        "        found = landmarks.detect(crop, 0.5, True, False)\n"
        "        assert found.valid\n"
        "        number = landmarks.landmarks_num\n"
        "        landmarks.draw_face(img, found.points, number, found.points_z)\n"
        "    screen.show(img)\n"
        "    shown += 1\n"
        "    app.set_exit_flag(shown == 5)\n",
        SCREEN_LOG=tmp_path / "screen",
        CAPTURE_LOG=tmp_path / "captures",
    )
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "screen").read_text().split() == ["0", "1", "2", "3", "4"]
    assert len((tmp_path / "captures").read_text().splitlines()) == 5
    shown = cv2.imread(str(tmp_path / "screen.png"))
    assert shown is not None
    assert shown.shape == (224, 320, 3)


def test_sigint_ends_the_app() -> None:
    finished = run_app("import maix, os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('no')")
    assert finished.returncode == 0
    assert "no" not in finished.stdout.splitlines()


def test_importing_on_another_thread_fails() -> None:
    finished = run_app(
        "import threading\n"
        "def load():\n    import maix\n"
        "thread = threading.Thread(target=load)\nthread.start()\nthread.join()"
    )
    assert "RuntimeError" in finished.stderr
    assert "main thread only" in finished.stderr


def test_camera_keeps_its_pace_and_its_log(maix: Any, tmp_path: Path, knob: Any) -> None:
    log = tmp_path / "captures"
    knob("CAPTURE_LOG", log)
    knob("FPS", 20)
    opened_at = time.monotonic()
    camera = maix.camera.Camera(320, 224, maix.image.FMT_RGB888)
    assert (camera.width(), camera.height(), camera.fps()) == (320, 224, 20)
    assert camera.is_opened()
    times = []
    for _ in range(5):
        assert camera.read().data_size() == 320 * 224 * 3
        times.append(time.monotonic())
    assert all(at - opened_at >= number / 20 for number, at in enumerate(times, start=1))
    assert times[-1] - opened_at < 0.4
    camera.close()
    lines = [line.split() for line in log.read_text().splitlines()]
    numbers = [int(number) for number, _ in lines]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert all(abs(int(ns) / 1e9 - at) < 0.02 for (_, ns), at in zip(lines, times, strict=True))


def test_camera_keeps_one_old_image_only(maix: Any, knob: Any) -> None:
    knob("FPS", 4)
    camera = maix.camera.Camera(64, 48)
    time.sleep(0.6)
    started = time.monotonic()
    camera.read()
    assert time.monotonic() - started < 0.1
    camera.read()
    camera.read()
    assert time.monotonic() - started > 0.25
    assert camera.read(block=False) is None
    with pytest.raises(RuntimeError, match="camera read failed"):
        camera.read(block_ms=1)
    camera.close()
    assert not camera.is_opened()
    camera.read()
    assert camera.is_opened()


def test_camera_fails_when_told(tmp_path: Path) -> None:
    log = tmp_path / "captures"
    finished = run_app(
        "from maix import camera\ncam = camera.Camera(64, 48)\n"
        "for _ in range(4):\n"
        "    try:\n        cam.read()\n        print('image')\n"
        "    except RuntimeError as error:\n        print(repr(error))\n",
        CAMERA_FAILS_AT="1,2",
        CAPTURE_LOG=log,
    )
    failure = "RuntimeError(': Value is NULL: camera read failed\\n\\n')"
    assert finished.stdout.splitlines()[1:] == ["image", failure, failure, "image"]
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["0", "3"]


def test_camera_shows_images_in_a_loop(tmp_path: Path) -> None:
    for value in (50, 100):
        cv2.imwrite(str(tmp_path / f"{value}.png"), np.full((48, 64, 3), value, np.uint8))
    np.save(tmp_path / "200.npy", np.full((2, 48, 64, 3), 200, np.uint8))
    finished = run_app(
        "from maix import camera, image\ncam = camera.Camera(64, 48, image.FMT_BGR888, fps=100)\n"
        "print(*[cam.read().to_bytes()[0] for _ in range(6)])",
        IMAGES=tmp_path,
    )
    assert finished.stdout.splitlines()[1] == "100 200 200 50 100 200"


@pytest.mark.alone
@pytest.mark.parametrize(
    ("knobs", "calls"),
    [
        ({"NPU_MS": 200}, "detector.detect(image)"),
        ({"FPS": 4}, "cam.read()"),
        ({"FPS": 4, "CAMERA_HOLDS_LOCK": 0}, "cam.read()"),
    ],
)
def test_other_threads_wait(knobs: dict[str, object], calls: str) -> None:
    finished = run_app(
        "import threading, time as host\n"
        "from maix import camera, image, nn\n"
        f"detector = nn.YOLOv8({DETECTOR_MODEL!r}, dual_buff=False)\n"
        "image = image.Image(320, 224)\n"
        "detector.detect(image)\n"
        "steps, running = [], True\n"
        "def step():\n"
        "    while running:\n        steps.append(host.monotonic())\n        host.sleep(0.005)\n"
        "thread = threading.Thread(target=step)\nthread.start()\n"
        "cam = camera.Camera(64, 48)\n"
        f"for _ in range(2):\n    {calls}\n"
        "running = False\nthread.join()\n"
        "print(max(b - a for a, b in zip(steps, steps[1:])))",
        **knobs,
    )
    longest = float(finished.stdout.splitlines()[-1])
    print(knobs, f"{longest * 1000:.0f} ms")
    if "CAMERA_HOLDS_LOCK" in knobs:
        assert longest < 0.18
    else:
        assert longest > 0.19


def test_the_clock(maix: Any, knob: Any) -> None:
    host = time.monotonic_ns() / 1000
    # Whole microseconds: up to one less than has gone by.
    assert -1 < maix.time.ticks_us() - host < 50_000
    knob("CLOCK_OFFSET_S", 1000.5)
    knob("CLOCK_DRIFT_PPM", 50_000)
    host = time.monotonic_ns() / 1000
    assert -1 < maix.time.ticks_us() - (host * 1.05 + 1000.5e6) < 50_000
    ticks = [maix.time.ticks_us() for _ in range(2000)]
    assert ticks == sorted(ticks)
    assert abs(maix.time.ticks_s() - maix.time.ticks_ms() / 1e3) < 0.05
    assert type(maix.time.ticks_us()) is type(maix.time.ticks_ms()) is int
    started = time.monotonic()
    maix.time.sleep_ms(20)
    maix.time.sleep_us(20_000)
    maix.time.sleep(0.02)
    assert time.monotonic() - started >= 0.06


def test_the_screen(maix: Any, astronaut: Pixels, tmp_path: Path, knob: Any) -> None:
    log = tmp_path / "screen"
    knob("SCREEN_LOG", log)
    screen = maix.display.Display()
    assert (screen.width(), screen.height()) == (552, 368)
    for _ in range(3):
        screen.show(image_of(maix, astronaut))
    assert log.read_text().split() == ["0", "1", "2"]
    shown = cv2.imread(str(log.with_suffix(".png")))
    assert shown is not None
    np.testing.assert_array_equal(shown[..., ::-1], astronaut)
    assert screen.close() == maix.err.Err.ERR_NONE


def test_the_app(maix: Any, tmp_path: Path, knob: Any) -> None:
    app = maix.app
    knob("DATA_PATH", tmp_path / "data")
    assert app.get_app_data_path() == str(tmp_path / "data")
    assert app.get_app_config_kv("link", "Token", "none", False) == "none"
    app.set_app_config_kv("link", "Token", "ABCD=%1")
    assert app.get_app_config_kv("link", "Token") == "ABCD=%1"
    assert app.get_app_config_kv("link", "Token", from_cache=False) == "ABCD=%1"
    assert "Token = ABCD=%1" in (tmp_path / "data/config.ini").read_text()
    app.set_app_config_kv("link", "Token", "changed", write_file=False)
    assert app.get_app_config_kv("link", "Token") == "changed"
    assert app.get_app_config_kv("link", "Token", from_cache=False) == "ABCD=%1"
    assert not app.need_exit()
    knob("EXIT_FILE", tmp_path / "exit")
    assert not app.need_exit()
    (tmp_path / "exit").touch()
    assert app.need_exit()
    (tmp_path / "exit").unlink()
    app.set_exit_flag(True)
    assert app.need_exit()
    app.set_exit_flag(False)


def test_the_system(maix: Any) -> None:
    assert maix.sys.device_name(cache=False) == "maixcam"
    assert maix.sys.maixpy_version() == "4.12.1"
    assert list(maix.sys.ip_address().values()) == ["127.0.0.1"]
    assert maix.sys.host_domain() == f"{maix.sys.host_name()}.local"


def test_maix_is_not_imported_here() -> None:
    assert "maix" not in sys.modules
