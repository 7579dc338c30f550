"""The maix backend and the device's camera, on the stand-in for MaixPy.

Each test runs a program in a process of its own, so that `maix` gets into none but theirs.
"""

from __future__ import annotations

import json
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maix_facemesh_ros.backends.registry import open_image_source
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.sources.base import SourceError
from maix_programs import run

#: For each scene: how far the landmarks are from those of the onnx backend's network in the same
#: square, in pixels of the crop.
COMPARE = """
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarksNetwork
from maix_facemesh_ros.backends.onnx.roi import RoiRule, roi_from_detection

network = FaceLandmarksNetwork()
maix_detector = MaixFaceDetector(FaceMeshParameters(backend="maix"))
answer = []
for values in SCENES:
    image = scene(**values)
    (face,) = detect(image, maix_detector)
    roi = roi_from_detection(face.box, face.box_keypoints, RoiRule(1.2, square=True))
    onnx = network.find(Image(image, "rgb", Stamp(0, 0)), roi)
    pixel = roi.width / network.SIZE
    off = np.abs(face.points - onnx.points) / pixel
    off_z = np.abs(face.points_z - onnx.points_z) / pixel
    answer.append({
        "scene": values, "side": roi.width, "roll": float(np.degrees(roi.rotation)),
        "count": len(face.points),
        "shift": (face.points - onnx.points).mean(axis=0).tolist(),
        "x": [off[:, 0].mean().item(), off[:, 0].max().item()],
        "y": [off[:, 1].mean().item(), off[:, 1].max().item()],
        "z": [off_z.mean().item(), off_z.max().item()],
        "z scale": (face.points_z.std() / onnx.points_z.std()).item(),
        "nose": face.points_z[[1, 4]].tolist(), "ears": face.points_z[[234, 454]].tolist(),
        "score": abs(face.landmarks_score - onnx.presence),
    })
"""
SCENES: list[dict[str, object]] = [
    {"scale": 1.2, "degrees": 0, "middle": (320, 240)},
    {"scale": 1.2, "degrees": 20, "middle": (150, 300)},
    {"scale": 2.0, "degrees": -25, "middle": (330, 200)},
    {"scale": 3.0, "degrees": 0, "middle": (320, 240)},
    {"scale": 3.0, "degrees": 15, "middle": (300, 260)},
    {"scale": 3.0, "degrees": 10, "middle": (500, 300), "size": (1280, 720)},
    {"scale": 1.3, "degrees": -10, "middle": (150, 130), "size": (320, 240)},
    {"scale": 2.0, "degrees": 0, "middle": (250, 400), "size": (500, 700)},
]


def test_landmarks_agree_with_the_onnx_backends_network_on_the_same_square() -> None:
    """MaixPy takes whole pixels for the square, the nearest ones for the crop, and for its answer.

    Wherever, however large and however rolled the face is. z is larger for what is closer, 0 in the
    face's middle, and as large as x and y.
    """
    results = run(f"SCENES = {SCENES!r}\n" + COMPARE)
    for result in results:
        print(json.dumps(result))
        assert result["count"] == 478
        for axis, (mean, most) in {"x": (0.45, 2.0), "y": (0.45, 2.0), "z": (1.5, 4.0)}.items():
            assert result[axis][0] < mean
            assert result[axis][1] < most
        np.testing.assert_allclose(result["shift"], 0, atol=0.25)
        assert result["z scale"] == pytest.approx(1, abs=0.03)
        assert min(result["nose"]) > 0 > max(result["ears"])
        assert result["score"] < 0.01
    assert len(results) == len(SCENES)


def test_any_order_of_channels_and_bytes_gives_the_same_faces() -> None:
    answer = run(
        """
        rgb = scene()
        wide = np.zeros((480, 900, 3), np.uint8)
        wide[:, 100:740] = rgb
        frozen = rgb.copy()
        frozen.setflags(write=False)
        images = {
            "rgb": (rgb, False),
            "bgr": (rgb[:, :, ::-1].copy(), True),
            "bgr as a view": (rgb[:, :, ::-1], True),
            "a part of a wider image": (wide[:, 100:740], False),
            "columns first": (np.asfortranarray(rgb), False),
            "read only": (frozen, False),
        }
        before = rgb.copy()
        import maix
        original = maix.image.cv2image

        def share(array, bgr=True, copy=True):
            # Of anything else the real one takes a copy, which is gone before it is used.
            assert array.flags.c_contiguous and not copy
            return original(array, bgr, copy)

        maix.image.cv2image = share
        detector = MaixFaceDetector(FaceMeshParameters(backend="maix"))
        for name, (image, bgr) in images.items():
            (face,) = detect(image, detector, bgr=bgr)
            answer[name] = [face.box, face.points.tolist(), face.points_z.tolist()]
        answer["unchanged"] = bool((rgb == before).all())
        """
    )
    assert answer.pop("unchanged")
    assert len(answer) == 6
    assert all(face == answer["rgb"] for face in answer.values())


def test_a_network_that_takes_bgr_gets_bgr() -> None:
    """The stand-in's takes RGB; here its detector says that it takes BGR, and is given RGB."""
    answer = run(
        """
        import maix
        original = maix.nn.YOLO11.detect
        seen = []

        def detect_bgr(self, img, **thresholds):
            seen.append([img.format().name, *maix.image.image2cv(img, False, False)[0, 0].tolist()])
            return original(self, img.to_format(maix.image.Format.FMT_RGB888), **thresholds)

        maix.nn.YOLO11.detect = detect_bgr
        maix.nn.YOLO11.input_format = lambda self: maix.image.Format.FMT_BGR888
        rgb = scene()
        rgb[0, 0] = 1, 2, 3
        answer["faces"] = [len(detect(rgb)), len(detect(rgb[:, :, ::-1].copy(), bgr=True))]
        answer["seen"] = seen
        """
    )
    assert answer["faces"] == [1, 1]
    assert (
        answer["seen"] == [["BGR888", 3, 2, 1]] * 2
        or answer["seen"] == [["FMT_BGR888", 3, 2, 1]] * 2
    )


@pytest.mark.parametrize("unseen", ["1", "moved"])
@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (320, 240)])
def test_with_an_eye_that_is_not_seen_the_face_counts_as_upright(
    unseen: str, size: tuple[int, int]
) -> None:
    program = f"""
        image = scene({size}, ({size[0] // 2}, {size[1] // 2}), {size[0] / 320}, -15)
        (face,) = detect(image)

        def roll(points):
            across, down = points[263] - points[33]
            return float(np.degrees(np.arctan2(down, across)))

        answer = [roll(face.points), roll(face.points_rel)]
        """
    in_image, in_crop = run(program)
    assert abs(in_crop) < 10 < in_image
    in_image, in_crop = run(program, UNSEEN_EYE=unseen)
    assert in_crop == pytest.approx(in_image, abs=2)


def test_a_detector_without_key_points_does_not_end_the_process() -> None:
    answer = run(
        """
        import maix
        original = maix.nn.YOLO11.detect

        def detect_boxes(self, img, **thresholds):
            found = original(self, img, **thresholds)
            for face in found:
                face.points = []
            return found

        maix.nn.YOLO11.detect = detect_boxes
        (face,) = detect(scene())
        answer = [len(face.points), len(face.box_keypoints)]
        """
    )
    assert answer == [478, 0]


def test_each_image_gets_its_own_faces_from_the_first_on() -> None:
    """With MaixPy's default, dual_buff, each would get those of the one before."""
    answer = run(
        """
        detector = MaixFaceDetector(FaceMeshParameters(backend="maix"))
        gray = np.full((480, 640, 3), 128, np.uint8)
        left, right = scene(middle=(200, 240)), scene(middle=(440, 240))
        answer = []
        for image in (left, right, gray, left, gray):
            answer.append([round(face.points[4, 0].item()) for face in detect(image, detector)])
        """
    )
    assert answer == [
        [pytest.approx(200, abs=20)],
        [pytest.approx(440, abs=20)],
        [],
        [pytest.approx(200, abs=20)],
        [],
    ]


def test_the_largest_faces_first_at_most_max_face_num() -> None:
    answer = run(
        """
        image = scene((640, 480), (160, 240), 1.4)
        image[:, 320:] = scene((640, 480), (480, 240), 1.8)[:, 320:]
        detector = MaixFaceDetector(FaceMeshParameters(backend="maix"))
        for limit in (0, 1, 2):
            faces = detect(image, detector, max_face_num=limit)
            answer[limit] = [[face.box[2] * face.box[3], face.box[0] > 320] for face in faces]
        """
    )
    assert [len(answer[limit]) for limit in ("0", "1", "2")] == [2, 1, 2]
    (larger, is_right), (smaller, _) = answer["0"]
    assert larger > smaller
    assert is_right
    assert answer["1"] == answer["0"][:1]


def test_python_api_with_thresholds_that_change() -> None:
    answer = run(
        """
        image = scene()
        with FaceMesh(backend="maix", landmarks_rel=True) as mesh:
            def faces(**changes):
                mesh.change(**changes)
                return mesh.process(image)

            answer["facts"] = mesh.facts
            answer["name"] = mesh.backend_name
            (face,) = mesh.process(image)
            answer["face"] = [
                face.id, face.points.shape, face.points_z.shape, face.points_rel.shape,
                face.box_keypoints.shape, str(face.points.dtype), str(face.points_z.dtype),
            ]
            answer["bgr"] = len(mesh.process(image[:, :, ::-1].copy(), bgr=True))
            answer["detect_conf_th"] = len(faces(detect_conf_th=0.999))
            answer["back"] = len(faces(detect_conf_th=0.5))
            image = cv2.GaussianBlur(scene(scale=2.5), (0, 0), 12)
            answer["in doubt"] = len(faces())
            answer["landmarks_conf_th"] = len(faces(landmarks_conf_th=1.0))
            (face,) = faces(require_landmarks=False)
            answer["without landmarks"] = [len(face.points), face.box[2] > 50]
            (face,) = faces(landmarks_conf_th=0.5, landmarks_num=5)
            answer["5"] = [face.points.shape, face.points_z.shape, face.points_rel.shape]
        mesh.close()
        """
    )
    assert answer["name"] == "maix"
    assert answer["facts"] == {
        "backend": "maix",
        "device": "MaixCAM2",
        "MaixPy": "4.12.1",
        "detector model": "/root/models/yolo11s_face.mud",
        "landmarks model": "/root/models/face_landmarks.mud",
    }
    assert answer["face"] == [0, [478, 2], [478], [478, 2], [5, 2], "float32", "float32"]
    assert (answer["bgr"], answer["detect_conf_th"], answer["back"]) == (1, 0, 1)
    assert (answer["in doubt"], answer["landmarks_conf_th"]) == (1, 0)
    assert answer["without landmarks"] == [0, True]
    assert answer["5"] == [[5, 2], [5], [5, 2]]


def test_a_image_on_which_maixpy_fails_is_lost_and_the_next_is_not() -> None:
    answer = run(
        """
        import maix
        original = maix.nn.YOLO11.detect
        mesh = FaceMesh(backend="maix")

        def fail(self, *arguments, **thresholds):
            maix.nn.YOLO11.detect = original
            raise RuntimeError("Runtime error: forward failed\\n")

        maix.nn.YOLO11.detect = fail
        try:
            mesh.process(scene())
        except ImageError as error:
            answer["error"] = str(error)
        answer["next"] = len(mesh.process(scene()))
        """
    )
    assert answer == {"error": "MaixPy has failed on it: Runtime error: forward failed", "next": 1}


def refused(
    program: str = 'MaixFaceDetector(FaceMeshParameters(backend="maix"))', **knobs: object
) -> str:
    """Return the words of the BackendError that a statement raises."""
    return str(
        run(
            f"""
            try:
                {program}
            except BackendError as error:
                answer = str(error)
            """,
            **knobs,
        )
    )


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ((), "yolo11s_face.mud"),
        (("yolo11s_face.mud",), "face_landmarks.mud"),
        (("face_landmarks.mud",), "yolo11s_face.mud"),
    ],
)
def test_a_model_that_is_missing_is_named_with_where_to_get_it(
    there: tuple[str, ...], missing: str, tmp_path: Path
) -> None:
    for name in there:
        (tmp_path / name).touch()
    message = refused(MODELS_AT=tmp_path)
    assert f"/root/models/{missing} is missing: get it from the system image" in message


def test_model_files_of_ones_own(tmp_path: Path) -> None:
    own = {"detector_model": tmp_path / "own.mud", "landmarks_model": tmp_path / "points.mud"}
    own["detector_model"].write_text("[extra]\nmodel_type = yolo11\n")
    own["landmarks_model"].write_text("[extra]\nmodel_type = face_landmarks\n")
    program = "answer = FaceMesh(backend='maix', detector_model={!r}, landmarks_model={!r}).facts"
    facts = run(program.format(*map(str, own.values())))
    assert facts["detector model"] == str(own["detector_model"])
    assert facts["landmarks model"] == str(own["landmarks_model"])
    wrong = f"FaceMesh(backend='maix', detector_model={str(own['landmarks_model'])!r})"
    assert f"{own['landmarks_model']} cannot be loaded" in refused(wrong)


@pytest.mark.parametrize("version", ["4.9.3", "4.4.21", "3.0"])
def test_maixpy_without_face_landmarks_is_refused(version: str) -> None:
    message = refused(MAIXPY_VERSION=version)
    assert f"MaixPy {version} has no face landmarks: update it to 4.10.0 or newer" in message


def test_maixpy_with_broken_face_landmarks_is_refused() -> None:
    message = refused(MAIXPY_VERSION="4.11.6")
    assert "the face landmarks of MaixPy 4.11.6 do not work: update to a newer one" in message


@pytest.mark.parametrize("version", ["4.10.0", "4.11.5", "4.11.7", "4.12.5"])
def test_other_versions_of_maixpy_are_taken(version: str) -> None:
    assert run("answer = len(detect(scene()))", MAIXPY_VERSION=version) == 1


def test_signal_handlers_are_those_from_before() -> None:
    answer = run(
        """
        import os, signal
        came = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGABRT):
            signal.signal(number, lambda number, frame: came.append(number))
        before = {number: signal.getsignal(number) for number in signal.valid_signals()}
        FaceMesh(backend="maix")
        import maix
        answer["same"] = all(signal.getsignal(n) is handler for n, handler in before.items())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGABRT):
            os.kill(os.getpid(), number)
        answer["came"] = came
        """
    )
    assert answer == {"same": True, "came": [signal.SIGINT, signal.SIGTERM, signal.SIGABRT]}


def test_signal_handlers_that_python_does_not_know_are_kept_too() -> None:
    """That of rclpy, which ends the context, and those of faulthandler."""
    pytest.importorskip("rclpy")
    answer = run(
        """
        import faulthandler, os, signal
        import rclpy
        import maix_facemesh_ros.backends.maix
        module = sys.modules["maix_facemesh_ros.backends.maix.import_maix"]
        signal.signal(signal.SIGINT, lambda number, frame: None)  # called by rclpy's
        rclpy.init()
        faulthandler.enable()

        def handler(number):
            return module._system_handler(number)[:8]  # what follows is partly left to chance

        before = {n: handler(n) for n in (signal.SIGINT, signal.SIGABRT, signal.SIGSEGV)}
        FaceMesh(backend="maix")
        answer["same"] = all(handler(number) == it for number, it in before.items())
        os.kill(os.getpid(), signal.SIGINT)
        end = time.monotonic() + 10
        while rclpy.ok() and time.monotonic() < end:
            time.sleep(0.01)
        answer["ended"] = not rclpy.ok()
        """
    )
    assert answer == {"same": True, "ended": True}


def test_import_is_refused_off_the_main_thread_and_then_possible_on_it() -> None:
    answer = run(
        """
        def in_thread(what):
            result = []
            def attempt():
                try:
                    result.append(what())
                except (BackendError, SourceError) as error:
                    result.append(str(error))
            thread = threading.Thread(target=attempt)
            thread.start()
            thread.join()
            return result[0]

        answer["refused"] = in_thread(lambda: FaceMesh(backend="maix"))
        answer["camera refused"] = in_thread(lambda: MaixCamera(print))
        answer["imported"] = "maix" in sys.modules
        mesh = FaceMesh(backend="maix")
        answer["used"] = in_thread(lambda: len(mesh.process(scene())))
        answer["opened"] = in_thread(lambda: FaceMesh(backend="maix").backend_name)
        """
    )
    for message in (answer["refused"], answer["camera refused"]):
        assert "on the main thread only: open the backend or the camera there" in message
    assert answer["imported"] is False
    assert (answer["used"], answer["opened"]) == (1, "maix")


# The camera


CAMERA = """
from itertools import islice
from maix_facemesh_ros.sources import base
from maix_facemesh_ros.backends.maix import camera as maix_camera

notices = []
base.STALL = 0.6
maix_camera.PATIENCE = 0.3
source = MaixCamera(lambda notice: notices.append([notice.text, notice.warning]))
import maix
"""


def camera(program: str, **knobs: object) -> Any:
    """Run a program with the device's camera as `source`, and patience shortened."""
    return run(CAMERA + textwrap.dedent(program), **knobs)


def test_the_camera_gives_rgb_images_with_the_time_they_were_taken(tmp_path: Path) -> None:
    log = tmp_path / "captures"
    red = tmp_path / "red.npy"
    np.save(red, np.full((480, 640, 3), (200, 20, 10), np.uint8))
    answer = camera(
        """
        taken = list(islice(source.images(), 40))
        answer["shapes"] = [list(shape) for shape in {item.pixels.shape for item in taken}]
        # All are kept until here: none lies in memory that is another's by now.
        answer["pixels"] = [item.pixels[240, 320].tolist() for item in taken]
        answer["bgr"] = taken[0].bgr[240, 320].tolist()
        answer["is bgr"] = taken[0].order == "bgr"
        answer["taken at"] = [item.stamp.seconds for item in taken]
        answer["source"] = [source.name, source.is_live]
        source.close()
        answer["notices"] = notices
        """,
        IMAGES=red,
        CAPTURE_LOG=log,
    )
    assert answer["shapes"] == [[480, 640, 3]]
    assert answer["pixels"] == [[200, 20, 10]] * 40
    assert answer["bgr"] == [10, 20, 200]
    assert answer["is bgr"] is False
    assert answer["source"] == ["maix", True]
    assert answer["notices"] == []
    read_at = [int(line.split()[1]) / 1e9 for line in log.read_text().splitlines()][:40]
    late = np.array(answer["taken at"]) - read_at
    assert late.min() >= 0
    assert np.median(late) < 0.002
    assert np.diff(answer["taken at"]).mean() == pytest.approx(1 / 30, rel=0.1)


def test_other_threads_run_while_the_camera_has_no_image() -> None:
    """MaixPy keeps the interpreter lock while a read waits, here 0.5 s for each image."""
    answer = camera(
        """
        gaps = []

        def tick():
            before = time.monotonic()
            while not done.is_set():
                time.sleep(0.001)
                now = time.monotonic()
                gaps.append(now - before)
                before = now

        done = threading.Event()
        thread = threading.Thread(target=tick)
        thread.start()
        answer["images"] = len(list(islice(source.images(), 3)))
        done.set()
        thread.join()
        answer["long gaps"] = sum(gap > 0.25 for gap in gaps)
        """,
        FPS=2,
    )
    assert answer == {"images": 3, "long gaps": 0}


def test_closing_the_camera_from_another_thread_ends_it_at_once() -> None:
    answer = camera(
        """
        def close():
            closed_at.append(time.monotonic())
            source.close()

        closed_at = []
        threading.Timer(0.5, close).start()
        answer["images"] = sum(1 for _ in source.images())
        answer["after"] = time.monotonic() - closed_at[0]
        time.sleep(0.2)
        answer["open"] = source._camera.is_opened()
        answer["again"] = sum(1 for _ in source.images())
        source.close()
        answer["still open"] = source._camera.is_opened()
        """
    )
    assert answer["images"] > 5
    assert answer["after"] < 0.2
    assert (answer["open"], answer["again"], answer["still open"]) == (False, 0, False)


def test_a_single_timeout_of_the_camera_is_nothing_to_report() -> None:
    answer = camera(
        """
        answer["images"] = len(list(islice(source.images(), 20)))
        answer["notices"] = notices
        """,
        CAMERA_FAILS_AT="0,5,12",
    )
    assert answer == {"images": 20, "notices": []}


#: The camera's `read` for a while, in the middle of its images.
STALLS = {
    "no image": ("return None", "has given no image for 0."),
    "errors": (
        'raise RuntimeError("Value is NULL: camera read failed\\n")',
        "gives no image (Value is NULL: camera read failed)",
    ),
}


@pytest.mark.parametrize("how", STALLS)
def test_a_camera_that_stalls_is_reported_once_and_once_when_it_is_back(how: str) -> None:
    instead, words = STALLS[how]
    answer = camera(
        f"""
        original = maix.camera.Camera.read
        images = source.images()
        for _ in range(2):
            answer.setdefault("before", []).append(len(list(islice(images, 5))))
            stalled_at = time.monotonic()

            def stalled(self, block=True, block_ms=-1):
                if time.monotonic() < stalled_at + 1.2:
                    {instead}
                maix.camera.Camera.read = original
                return original(self, block, block_ms)

            maix.camera.Camera.read = stalled
        answer["after"] = len(list(islice(images, 5)))
        answer["notices"] = notices
        """
    )
    assert answer["before"] == [5, 5]
    assert answer["after"] == 5
    texts = [text for text, _ in answer["notices"]]
    assert [warning for _, warning in answer["notices"]] == [True, False] * 2, texts
    assert all(text.startswith(f"source 'maix' {words}") for text in texts[::2]), texts
    assert all("gives images again, after 1." in text for text in texts[1::2]), texts


def test_a_camera_that_cannot_be_opened_is_one_clear_line() -> None:
    answer = run(
        """
        import maix
        def fail(self, *arguments, **keywords):
            raise RuntimeError("Runtime error: camera open failed\\n")
        maix.camera.Camera.__init__ = fail
        try:
            MaixCamera(print)
        except SourceError as error:
            answer = str(error)
        """
    )
    assert answer == (
        "source 'maix' cannot be opened (Runtime error: camera open failed): is the camera "
        "connected, and does no other program use it?"
    )


def test_without_maixpy_the_camera_is_no_source() -> None:
    with pytest.raises(SourceError, match="source 'maix' is the camera of a MaixCAM: MaixPy"):
        open_image_source(NodeParameters(source="maix"), print)
    assert "maix" not in sys.modules


def test_camera_and_backend_together() -> None:
    answer = camera(
        """
        with FaceMesh(backend="maix") as mesh:
            answer = [
                len(mesh.process(item))
                for item in islice(source.images(), 5)
            ]
        """
    )
    assert answer == [1] * 5
