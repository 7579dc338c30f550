"""From the app on a MaixCAM to a robot: app process, TCP, node process, DDS.

The app runs unchanged on the stand-in for MaixPy.
"""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage
from sensor_msgs.msg import Image as ImageMessage
from visualization_msgs.msg import Marker, MarkerArray

from link_peer import free_port
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarksNetwork
from maix_facemesh_ros.backends.onnx.roi import RoiRule, roi_from_detection
from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Image, Pixels, Stamp
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.messages import faces_of
from maixcam_process import HEIGHT, TOKEN, WIDTH, MaixCamApp
from running_node import NodeProcess, Robot, StartNode, double, integer
from scenes import paste_head, plain

pytest_plugins = ["running_node"]

#: Places of the face's center in the images, which tell them apart in the answers.
PLACES = tuple(range(90, 231, 20))

#: The device's clock: an hour ahead, and 200 ppm too fast.
WRONG_CLOCK = {"CLOCK_OFFSET_S": 3600, "CLOCK_DRIFT_PPM": 200}

SOON = 2.0
BUSY = 1.5

StartApp = Callable[..., MaixCamApp]


class Watcher:
    """What a robot gets besides faces, with the times of this process."""

    def __init__(self, robot: Robot) -> None:
        self.images: list[CompressedImage] = []
        self.camera_infos: list[CameraInfo] = []
        #: Time and message of all that /diagnostics has said.
        self.said: list[tuple[float, DiagnosticStatus]] = []
        for message_type, topic, take in (
            (CompressedImage, "image_raw/compressed", self.images.append),
            (CameraInfo, "camera_info", self.camera_infos.append),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics),
        ):
            robot.create_subscription(message_type, topic, take, QoSProfile(depth=100))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.said.append((time.monotonic(), message.status[0]))

    def says(self, words: str, level: bytes = DiagnosticStatus.ERROR) -> bool:
        return any(s.level == level and words in s.message for _, s in self.said)


@pytest.fixture
def watcher(robot: Robot) -> Watcher:
    return Watcher(robot)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[StartApp]:
    started: list[MaixCamApp] = []

    def start_app(port: int = 0, **options: Any) -> MaixCamApp:
        made = MaixCamApp(tmp_path / "device", port or free_port(), **options)
        started.append(made)
        made.wait_until_it_listens()
        return made

    yield start_app
    for made in started:
        made.stop()
        assert "Traceback" not in made.output(), made.output()


def parameters_for(port: int, folder: Path, **values: object) -> list[str]:
    """Return those of a node for the app at a port."""
    token = folder / "token"
    token.write_text(TOKEN)
    named = {
        "backend": "maixcam",
        "maixcam_address": f"127.0.0.1:{port}",
        "maixcam_token_file": str(token),
        **values,
    }
    return [f"{name}:={value}" for name, value in named.items()]


@pytest.fixture(scope="module")
def images(astronaut: Pixels) -> list[Pixels]:
    """The astronaut's head at each of the places, in the size of the device's images."""
    made = []
    for place in PLACES:
        image = plain(WIDTH, HEIGHT)
        paste_head(image, astronaut, (place, 110), 80)
        made.append(image)
    return made


@pytest.fixture
def film(images: list[Pixels], tmp_path: Path) -> Path:
    """The same images as a file for the stand-in's camera."""
    path = tmp_path / "film.npy"
    np.save(path, np.stack(images))
    return path


def place_of(answer: FaceArray) -> int:
    """Return the number of the image in the film."""
    (face,) = faces_of(answer)
    center = face.points[:, 0]
    middle = (center.min() + center.max()) / 2
    return int(np.argmin(np.abs(np.array(PLACES) - middle)))


def stamp_errors(answers: list[FaceArray], captures: list[float]) -> FloatArray:
    """Return seconds by which stamps differ from the true time of capture.

    An image's place in the film says which of the captures it was, up to whole films, which take
    8/30 s: far more than any error.
    """
    system_minus_monotonic = time.time() - time.monotonic()
    errors = []
    for answer in answers:
        stamp = answer.header.stamp.sec + 1e-9 * answer.header.stamp.nanosec
        of_this_place = np.array(captures[place_of(answer) :: len(PLACES)])
        offsets = stamp - system_minus_monotonic - of_this_place
        errors.append(offsets[np.argmin(np.abs(offsets))])
    return np.array(errors, np.float32)


def test_30_frames_a_second_with_true_stamps(
    start: StartNode, robot: Robot, app: StartApp, film: Path, tmp_path: Path
) -> None:
    """With the device's clock an hour ahead and drifting by 200 ppm."""
    device = app(IMAGES=film, FPS=30, **WRONG_CLOCK)
    start(*parameters_for(device.port, tmp_path))
    robot.wait_until(lambda: len(robot.answers) > 30, "faces")
    robot.answers.clear()
    first = len(device.captures())
    robot.spin_for(10.0)
    captured = len(device.captures()) - first
    answers = list(robot.answers)
    facts = robot.next_diagnostics()
    errors = 1e3 * np.abs(stamp_errors(answers, device.captures()))
    print(
        f"{len(answers) / 10:.1f} answers a second of {captured / 10:.1f} images; stamps off by "
        f"{np.median(errors):.2f} ms, at most {errors.max():.2f} ms; {facts}"
    )
    # On a busy machine fewer than 30 images a second may be taken; all of them are answered.
    assert len(answers) >= 0.95 * captured
    assert captured >= 150
    # A thread of either process that is set aside at the wrong moment costs one stamp some time.
    assert np.quantile(errors, 0.98) < 2.0
    assert facts["link"] == "connected"
    error = float(facts["error of the device's clock"].split()[1])
    assert np.quantile(errors, 0.9) < error + 0.5, "the error is larger than it says"
    assert float(facts["drift of the device's clock"].split()[0]) == pytest.approx(200, abs=100)
    assert (facts["device"], facts["encrypted"]) == ("maixcam", "no")


def test_faces_are_those_of_the_onnx_backend_within_maixpys_rounding(
    start: StartNode,
    robot: Robot,
    app: StartApp,
    film: Path,
    images: list[Pixels],
    tmp_path: Path,
) -> None:
    device = app(IMAGES=film)
    start(*parameters_for(device.port, tmp_path, landmarks_rel=True, smoothing="off"))
    robot.wait_until(lambda: len(robot.answers) > 2 * len(PLACES), "faces")
    network = FaceLandmarksNetwork()
    for answer in robot.answers[-len(PLACES) :]:
        assert (answer.image_width, answer.image_height) == (WIDTH, HEIGHT)
        assert answer.header.frame_id == "camera_optical_frame"
        face = faces_of(answer)[0]
        image = images[place_of(answer)]
        roi = roi_from_detection(face.box, face.box_keypoints, RoiRule(1.2, square=True))
        onnx = network.find(Image(image, "rgb", Stamp(0, 0)), roi)
        pixel = roi.width / network.SIZE
        off = np.abs(face.points - onnx.points) / pixel
        # MediaPipe measures z along the crop's x axis in an image as if it were square.
        roll = np.hypot(np.cos(roi.rotation), np.sin(roi.rotation) * WIDTH / HEIGHT)
        off_z = np.abs(face.points_z - onnx.points_z / roll) / pixel
        print(f"off by {off.mean():.2f}, at most {off.max():.2f}, z by {off_z.mean():.2f} pixels")
        # In pixels of the crop: one that is whole numbers, cut out with the nearest pixels.
        assert off.mean() < 0.6
        assert off.max() < 3.0
        assert off_z.mean() < 1.5
        scale = face.points_z.std() / (onnx.points_z / roll).std()
        assert scale == pytest.approx(1, abs=0.03)
        assert np.corrcoef(face.points_z, onnx.points_z)[0, 1] > 0.999
        assert face.points_z[1] > 0 > max(face.points_z[234], face.points_z[454])
        assert face.points_rel.shape == (478, 2)
        assert abs(face.landmarks_score - onnx.presence) < 0.01
        assert face.id >= 1, "faces of a MaixCAM are numbered too"


def test_images_and_calibration_with_the_stamps_of_the_faces(
    start: StartNode,
    robot: Robot,
    watcher: Watcher,
    app: StartApp,
    film: Path,
    images: list[Pixels],
    tmp_path: Path,
) -> None:
    calibration = tmp_path / "camera.yaml"
    calibration.write_text(CALIBRATION)
    device = app(IMAGES=film, **WRONG_CLOCK)
    start(
        *parameters_for(
            device.port,
            tmp_path,
            maixcam_jpeg="true",
            maixcam_jpeg_quality=95,
            calibration_file=calibration,
            frame_id="left_eye",
        )
    )
    robot.wait_until(lambda: len(watcher.images) > 15, "images")
    robot.spin_for(0.5)
    faces = {stamp(answer): answer for answer in robot.answers}
    calibrations = {stamp(info): info for info in watcher.camera_infos}
    common = [image for image in watcher.images if stamp(image) in faces]
    assert len(common) >= len(watcher.images) - 2
    for image in common:
        assert (image.format, image.header.frame_id) == ("jpeg", "left_eye")
        shown = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
        assert shown is not None
        answer = faces[stamp(image)]
        # The very image that the faces were found in, without anything drawn into it.
        expected = images[place_of(answer)][:, :, ::-1]
        assert np.abs(shown.astype(int) - expected).mean() < 3
    info = next(calibrations[at] for at in calibrations if at in faces)
    assert (info.width, info.height, info.k[0]) == (WIDTH, HEIGHT, 300.0)
    assert info.header.frame_id == "left_eye"


def test_its_images_are_drawn_into_and_its_faces_have_markers(
    start: StartNode, robot: Robot, watcher: Watcher, app: StartApp, film: Path, tmp_path: Path
) -> None:
    """Each image with the faces that were found in it, not with those of another."""
    drawn: list[ImageMessage] = []
    arrays: list[MarkerArray] = []
    depth = QoSProfile(depth=100)
    robot.create_subscription(ImageMessage, "facemesh/image_annotated", drawn.append, depth)
    robot.create_subscription(MarkerArray, "facemesh/markers", arrays.append, depth)
    device = app(IMAGES=film)
    start(*parameters_for(device.port, tmp_path, maixcam_jpeg="true", frame_id="left_eye"))

    def complete() -> list[ImageMessage]:
        faces = {stamp(answer): answer for answer in robot.answers}
        jpegs = {stamp(image): image for image in watcher.images}
        return [image for image in drawn if stamp(image) in faces.keys() & jpegs.keys()]

    robot.wait_until(lambda: len(complete()) > 8, "annotated images")
    faces = {stamp(answer): answer for answer in robot.answers}
    jpegs = {stamp(image): image for image in watcher.images}
    for image in complete():
        answer = faces[stamp(image)]
        assert image.header == answer.header
        jpeg = cv2.imdecode(np.frombuffer(jpegs[stamp(image)].data, np.uint8), cv2.IMREAD_COLOR)
        assert jpeg is not None
        expected = np.ascontiguousarray(jpeg[:, :, ::-1]).astype(np.uint8)
        for face in faces_of(answer):
            draw_face(expected, face, mesh=True, box=True, label=True)
        pixels = np.frombuffer(image.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
        # All but the line with the rate.
        assert np.array_equal(pixels[:-30], expected[:-30])

    ids = {stamp(answer): [face.id for face in answer.faces] for answer in robot.answers}
    filled = [array for array in arrays if array.markers]
    with_faces = [array for array in filled if stamp(array.markers[0]) in ids]
    assert with_faces
    for array in with_faces:
        added = {marker.id for marker in array.markers if marker.action == Marker.ADD}
        assert added == set(ids[stamp(array.markers[0])])


def test_parameters_reach_the_device_while_it_runs(
    start: StartNode, robot: Robot, app: StartApp, astronaut: Pixels, tmp_path: Path
) -> None:
    two = plain(WIDTH, HEIGHT)
    paste_head(two, astronaut, (80, 110), 60)
    paste_head(two, astronaut, (240, 110), 80)
    cv2.imwrite(str(tmp_path / "two.png"), two[:, :, ::-1])
    device = app(IMAGES=tmp_path / "two.png")
    start(*parameters_for(device.port, tmp_path))

    def count() -> int:
        return len(robot.answers[-1].faces) if robot.answers else -1

    robot.wait_until(lambda: count() == 2, "both faces")
    sizes = [face.box.width * face.box.height for face in robot.answers[-1].faces]
    assert sizes[0] > sizes[1], "the largest first"
    assert robot.set_parameters(max_face_num=integer(1)) == (True, "")
    robot.wait_until(lambda: count() == 1, "one face")
    assert robot.answers[-1].faces[0].box.x > WIDTH / 2, "the larger one"
    assert robot.set_parameters(detect_conf_th=double(1.0))[0]
    robot.wait_until(lambda: count() == 0, "no face")
    accepted, reason = robot.set_parameters(detect_conf_th=double(2.0))
    assert not accepted
    assert "detect_conf_th" in reason
    accepted, reason = robot.set_parameters(maixcam_jpeg_rate=double(0.0))
    assert not accepted
    assert robot.set_parameters(detect_conf_th=double(0.5), max_face_num=integer(0))[0]
    robot.wait_until(lambda: count() == 2, "both faces again")


def test_a_device_that_goes_and_comes_back(
    start: StartNode, robot: Robot, watcher: Watcher, app: StartApp, film: Path, tmp_path: Path
) -> None:
    """Killed without a word, and started again with another clock."""
    device = app(IMAGES=film, **WRONG_CLOCK)
    node = start(*parameters_for(device.port, tmp_path))
    robot.wait_until(lambda: len(robot.answers) > 10, "faces")
    for clock in (7, 9000):
        watcher.said.clear()
        device.stop(signal.SIGKILL)
        killed_at = time.monotonic()
        robot.wait_until(lambda: watcher.says("MaixCAM"), "word on /diagnostics")
        assert watcher.said[-1][0] - killed_at < SOON + BUSY
        robot.wait_until(lambda: "is lost: it has closed the connection" in node.output(), "log")
        robot.spin_for(1.0)
        robot.answers.clear()
        device = app(device.port, IMAGES=film, CLOCK_OFFSET_S=clock)
        listened_at = time.monotonic()
        robot.wait_until(lambda: bool(robot.answers), "faces")
        assert time.monotonic() - listened_at < SOON + BUSY
        robot.wait_until(lambda: len(robot.answers) > 20, "faces")
        errors = np.abs(stamp_errors(robot.answers, device.captures()))
        assert np.quantile(errors, 0.9) < 2e-3
        robot.wait_until(lambda: watcher.said[-1][1].level == DiagnosticStatus.OK, "good news")
    robot.wait_until(lambda: node.output().count("is connected") == 3, "three connections")


def test_a_node_that_is_inactive_leaves_the_device_to_others(
    start: StartNode, robot: Robot, app: StartApp, film: Path, tmp_path: Path
) -> None:
    device = app(IMAGES=film)
    node = start("autostart:=false", *parameters_for(device.port, tmp_path))
    for _ in range(2):  # Without a connection.
        assert robot.change_state("configure")
        assert robot.change_state("cleanup")
    assert robot.change_state("configure")
    for number in (1, 2):
        assert robot.change_state("activate")
        robot.answers.clear()
        robot.wait_until(lambda: len(robot.answers) > 5, "faces")
        assert robot.change_state("deactivate")
        robot.spin_for(0.1)
        robot.answers.clear()
        assert robot.next_diagnostics()["link"] == "closed"
        assert robot.answers == []
        assert node.output().count("is connected") == number
    assert "Task was destroyed" not in node.output()


def test_a_device_that_freezes_is_reported_and_taken_back(
    start: StartNode, robot: Robot, watcher: Watcher, app: StartApp, film: Path, tmp_path: Path
) -> None:
    """Its connection stays open, and nothing comes."""
    device = app(IMAGES=film)
    start(*parameters_for(device.port, tmp_path))
    robot.wait_until(lambda: len(robot.answers) > 10, "faces")
    device.process.send_signal(signal.SIGSTOP)
    frozen_at = time.monotonic()
    robot.wait_until(lambda: watcher.says("was silent for 1.5 s"), "word on /diagnostics")
    reported_after = time.monotonic() - frozen_at
    device.process.send_signal(signal.SIGCONT)
    robot.answers.clear()
    robot.wait_until(lambda: len(robot.answers) > 10, "faces")
    errors = np.abs(stamp_errors(robot.answers, device.captures()))
    assert np.quantile(errors, 0.8) < 2e-3
    print(f"reported after {reported_after:.2f} s")
    assert reported_after < SOON + BUSY


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"maixcam_token": "WRON-GWRO-NGWR-ONGW"}, "the token is wrong"),
        ({"maixcam_address": "127.0.0.1:1"}, "start it on the device"),
        ({"maixcam_address": "maixcam-0000.invalid"}, "maixcam-0000.invalid is unknown"),
    ],
)
def test_what_is_wrong_is_on_the_log_and_on_diagnostics(
    start: StartNode,
    robot: Robot,
    watcher: Watcher,
    app: StartApp,
    tmp_path: Path,
    wrong: dict[str, str],
    words: str,
) -> None:
    device = app()
    right = parameters_for(device.port, tmp_path)
    if "maixcam_token" in wrong:
        right.pop()
    node = start(*right, *(f"{name}:={value}" for name, value in wrong.items()))
    robot.wait_until(lambda: "faces on" in node.output(), "start")
    started_at = time.monotonic()
    robot.wait_until(lambda: words in node.output(), "word on the log")
    logged_after = time.monotonic() - started_at
    robot.wait_until(lambda: watcher.says(words), "word on /diagnostics")
    assert logged_after < SOON + BUSY
    assert robot.answers == []
    assert "WRON" not in node.output()


def test_two_nodes_and_a_stranger(
    start: StartNode, robot: Robot, app: StartApp, film: Path, tmp_path: Path
) -> None:
    """Each gets all faces by its own parameters; one that only connects disturbs no other."""
    device = app(IMAGES=film)
    others: list[FaceArray] = []
    robot.create_subscription(FaceArray, "others", others.append, QoSProfile(depth=100))
    with socket.create_connection(("127.0.0.1", device.port)):
        start(*parameters_for(device.port, tmp_path))
        start(
            *parameters_for(device.port, tmp_path, detect_conf_th=1.0),
            remaps=["faces:=others", "__node:=second"],
        )
        robot.wait_until(lambda: len(robot.answers) > 30 and len(others) > 30, "faces")
    assert {len(answer.faces) for answer in robot.answers[-20:]} == {1}
    assert {len(answer.faces) for answer in others[-20:]} == {0}


def test_a_node_that_is_restarted_finds_the_device(
    start: StartNode, robot: Robot, app: StartApp, film: Path, tmp_path: Path
) -> None:
    device = app(IMAGES=film)
    for how in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        robot.answers.clear()
        node: NodeProcess = start(*parameters_for(device.port, tmp_path))
        robot.wait_until(lambda: len(robot.answers) > 10, "faces")
        node.stop(how)
    assert len(re.findall("127.0.0.1 is gone", device.output())) >= 1


def test_without_reconnect_the_node_ends_with_an_error(
    start: StartNode, robot: Robot, app: StartApp, film: Path, tmp_path: Path
) -> None:
    device = app(IMAGES=film)
    node = start(*parameters_for(device.port, tmp_path, maixcam_reconnect="false"))
    robot.wait_until(lambda: len(robot.answers) > 3, "faces")
    device.stop()
    assert node.process.wait(20) == 1
    assert "is lost" in node.output()


def stamp(message: Any) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


CALIBRATION = f"""
image_width: {WIDTH}
image_height: {HEIGHT}
camera_name: maixcam
camera_matrix: {{rows: 3, cols: 3, data: [300.0, 0, 160, 0, 300, 112, 0, 0, 1]}}
distortion_model: plumb_bob
distortion_coefficients: {{rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}}
rectification_matrix: {{rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}}
projection_matrix: {{rows: 3, cols: 4, data: [300, 0, 160, 0, 0, 300, 112, 0, 0, 0, 1, 0]}}
"""
