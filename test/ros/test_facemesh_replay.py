"""`facemesh_replay`, in a process of its own: every image has its answer, every time the same."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from ctrl_c import with_ctrl_c_in_a_destructor
from golden_replays import EXACTLY
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.replay import main as facemesh_replay
from maix_facemesh_ros.ros.replay import nodes as replay_nodes
from maix_facemesh_ros.ros.replay import run as replay_run
from maix_facemesh_ros.ros.replay.golden import GoldenFaces, stamp_of
from maix_facemesh_ros.ros.replay.publishers import quality_of_service
from replay_bags import (
    DELAY,
    INTERVAL,
    SECOND,
    START,
    BagMaker,
    camera_info,
    image_bag,
    image_message,
    moving_scene,
    stamps,
)
from running_node import Robot, StartNode

pytest_plugins = ["running_node"]

pytestmark = pytest.mark.usefixtures("own_network")

TIMEOUT = 60.0

FOREVER = QosTime(0, 0)


def qos(
    reliability: QosReliability, durability: QosDurability, depth: int = 1, **times: QosTime
) -> Qos:
    return Qos(
        QosHistory.KEEP_LAST,
        depth,
        reliability,
        durability,
        times.get("deadline", FOREVER),
        times.get("lifespan", FOREVER),
        QosLiveliness.AUTOMATIC,
        FOREVER,
        False,
    )


LATCHED = qos(QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL)
SENSOR = qos(QosReliability.BEST_EFFORT, QosDurability.VOLATILE, depth=5)


def replay(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "maix_facemesh_ros.programs.start",
            "facemesh_replay",
            *map(str, arguments),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )


def succeeded(*arguments: str | Path) -> str:
    """Run the program, which shall end with 0; returns what it says."""
    ended = replay(*arguments)
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def one_camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera as drivers record it, and the other topics of a robot."""
    folder = tmp_path_factory.mktemp("bags") / "one_camera"
    with BagMaker(folder) as bag:
        for part in ("<robot/>", "<arm/>"):
            bag.write("/description", String(data=part), START - DELAY, qos=[LATCHED])
        bag.write("/faces", FaceArray(), START - DELAY)
        for stamp, image in zip(stamps(), moving_scene(), strict=False):
            bag.write("/image_raw", image_message(image, stamp), stamp + DELAY, qos=[SENSOR])
            # The calibration comes after its image, the first one too.
            bag.write("/camera_info", camera_info(stamp), stamp + DELAY + 1, qos=[SENSOR])
    return folder


@pytest.fixture(scope="module")
def golden(one_camera: Path) -> Path:
    faces = one_camera.parent / "golden"
    output = succeeded(one_camera, "--start-node", "--record", faces)
    assert "30 images played: 30 answered" in output
    return faces


def faces_in(bag: Path, topic: str = "/faces") -> list[Any]:
    with GoldenFaces(bag) as faces:
        return list(faces.on(topic))


def test_recorded_faces_are_one_for_each_image_with_its_times(
    one_camera: Path, golden: Path
) -> None:
    with Bag(one_camera) as bag, Bag(golden) as answers:
        images = [(m.log_time, m.data[4:12]) for m in bag.messages(["/image_raw"])]
        assert [(m.log_time, m.data[4:12]) for m in answers.messages()] == images
    # All of them in space: the calibration was there before the first.
    assert [[face.pose_valid for face in answer.faces] for answer in faces_in(golden)] == [
        [] if number in (14, 15, 16) else [True] for number in range(30)
    ]


def test_a_node_that_runs_gives_the_same_faces_again_and_again(
    one_camera: Path, golden: Path, start: StartNode, robot: Robot
) -> None:
    """Whatever it has seen before, and with its images coming best effort."""
    node = start()
    robot.wait_for_node()
    for image in list(moving_scene())[5:8]:
        robot.ask(image_message(image, START + SECOND))  # within the time of the bag
    # The robot's own camera is in the way, as soon as the player knows of it and its node's name.
    end = time.monotonic() + TIMEOUT
    in_the_way = "robot publishes images on /image_raw too: stop it"
    while in_the_way not in (ended := replay(one_camera)).stdout:
        assert time.monotonic() < end, ended.stdout
    assert ended.returncode == 2
    robot.destroy_publisher(robot.images)
    for _ in range(2):
        output = succeeded(one_camera, "--check", golden, *EXACTLY)
        assert "/image_raw is answered by /facemesh on /faces" in output
        assert "30 images: 30 the same" in output
    warnings = [line for line in node.output().splitlines() if "WARN" in line]
    # The robot's camera and the player's, and the silence between them, are named; nothing else is.
    named = re.compile(r"publishers of images on|no image on /image_raw for")
    assert all(named.search(line) for line in warnings), warnings


def test_a_node_that_rests_is_found(one_camera: Path, start: StartNode, robot: Robot) -> None:
    robot.unsubscribe_from_faces()
    robot.destroy_publisher(robot.images)
    start()
    robot.wait_until(lambda: robot.status == "resting: no subscribers", "rest of the node")
    output = succeeded(one_camera)
    assert "30 images played: 30 answered" in output


def test_a_subscriber_beside_a_replay_sees_what_is_in_the_bag_and_nothing_else(
    one_camera: Path, start: StartNode, robot: Robot
) -> None:
    """No image that only finds out whether the node is there: a recorder would take it too."""
    start()
    robot.destroy_publisher(robot.images)
    images: list[Image] = []
    robot.create_subscription(Image, "image_raw", images.append, QoSProfile(depth=100))
    robot.wait_until(lambda: robot.count_subscribers("/image_raw") == 2, "the node's subscription")
    player = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "maix_facemesh_ros.programs.start",
            "facemesh_replay",
            str(one_camera),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    robot.wait_until(lambda: player.poll() is not None, "end of the replay")
    robot.spin_for(0.5)
    assert player.returncode == 0, player.communicate()[0]
    recorded = [stamp_of(message) for message in images_in(one_camera, "/image_raw")]
    assert [stamp_of(message) for message in images] == recorded
    assert [stamp_of(answer) for answer in robot.answers] == recorded
    assert all(image.height > 8 for image in images)


def images_in(bag: Path, topic: str) -> list[Image]:
    with Bag(bag) as opened:
        return [deserialize_message(each.data, Image) for each in opened.messages([topic])]


def test_time_from_the_bag_changes_nothing(one_camera: Path, golden: Path) -> None:
    """On /clock, with use_sim_time, and in loops: time goes back then."""
    output = succeeded(
        *(one_camera, "--start-node", "--clock", "--loop", "3", "--check", golden, *EXACTLY)
    )
    assert output.count("30 images: 30 the same") == 3


def test_what_else_is_in_the_bag_is_published_as_it_was(
    one_camera: Path, start: StartNode, robot: Robot
) -> None:
    start()
    robot.destroy_publisher(robot.images)
    latched: list[String] = []
    clock: list[int] = []
    player = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "maix_facemesh_ros.programs.start",
            "facemesh_replay",
            str(one_camera),
        ]
        + ["--loop", "--clock", "--rate", "2", "-m", "/description:=/text"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        robot.wait_until(lambda: robot.count_publishers("/text") > 0, "publisher")
        robot.wait_until(lambda: len(robot.answers) > 3, "answers")
        # Both messages are kept for who comes later.
        robot.create_subscription(
            String,
            "/text",
            latched.append,
            QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        )
        robot.create_subscription(
            Clock, "/clock", lambda message: clock.append(stamp_of_clock(message)), 10
        )
        robot.wait_until(lambda: len(latched) >= 2, "latched messages")
        robot.wait_until(lambda: len(clock) >= 10, "time")
    finally:
        player.send_signal(signal.SIGTERM)
        output, _ = player.communicate(timeout=TIMEOUT)
    assert player.returncode == 130, output
    assert "Traceback" not in output
    assert {message.data for message in latched} == {"<robot/>", "<arm/>"}
    assert all(START - DELAY <= time <= START + 4 * SECOND for time in clock)
    assert "/faces is not played: the node publishes such messages" in output


def stamp_of_clock(message: Clock) -> int:
    return int(message.clock.sec) * SECOND + int(message.clock.nanosec)


def test_several_cameras_have_a_node_each_and_wait_for_each_other(tmp_path: Path) -> None:
    with BagMaker(tmp_path / "bag") as bag:
        for stamp, image in zip(stamps(), list(moving_scene())[:10], strict=False):
            left = image_message(image, stamp)
            right = image_message(image[:, ::-1], stamp + 9, jpeg=True)
            bag.write("/left/camera_info", camera_info(stamp), stamp + DELAY)
            bag.write("/left/image_raw", left, stamp + DELAY)
            bag.write("/right/image_raw/compressed", right, stamp + DELAY)
            bag.write("/strange", b"\x00\x01\x00\x00", stamp, message_type="tf2_msgs/msg/TFMessage")
    faces = tmp_path / "faces"
    output = succeeded(tmp_path / "bag", "--start-node", "--record", faces, "-p", "pose:=true")
    assert "20 images played: 20 answered" in output
    left_faces, right_faces = faces_in(faces, "/left/faces"), faces_in(faces, "/right/faces")
    assert [stamp_of(a) + 9 for a in left_faces] == [stamp_of(a) for a in right_faces]
    assert {face.pose_valid for answer in left_faces for face in answer.faces} == {True}
    assert {face.pose_valid for answer in right_faces for face in answer.faces} == {False}
    # One of them alone gives the same.
    alone = tmp_path / "alone"
    succeeded(tmp_path / "bag", "--start-node", "--topics", "/left/image_raw", "--record", alone)
    with Bag(faces) as both, Bag(alone) as one:
        assert [m.data for m in both.messages(["/left/faces"])] == [m.data for m in one.messages()]


def test_stamps_that_stand_still_jump_and_are_zero(tmp_path: Path) -> None:
    """Each image has its answer under its stamp; twice the same."""
    given = [0, 0, 1, 5 * SECOND, 5 * SECOND, 4 * SECOND, START, START + 1, START, 7, 0]
    with BagMaker(tmp_path / "bag") as bag:
        for number, (stamp, image) in enumerate(zip(given, moving_scene(), strict=False)):
            bag.write("/image_raw", image_message(image, stamp), START + number * INTERVAL)
    for name in ("first", "second"):
        succeeded(tmp_path / "bag", "--start-node", "--record", tmp_path / name)
    first = faces_in(tmp_path / "first")
    assert [stamp_of(answer) for answer in first] == given
    assert [len(answer.faces) for answer in first] == [1] * len(given)
    assert_same_messages(tmp_path / "first", tmp_path / "second")


def assert_same_messages(first: Path, second: Path) -> None:
    with Bag(first) as one, Bag(second) as other:
        messages = [(m.topic.name, m.log_time, m.data) for m in one.messages()]
        assert messages == [(m.topic.name, m.log_time, m.data) for m in other.messages()]


def test_images_that_cannot_be_used_are_told_and_passed_over(tmp_path: Path) -> None:
    images = list(moving_scene())[:5]
    with BagMaker(tmp_path / "bag") as bag:
        for number, image in enumerate(images):
            message = image_message(image, START + number)
            if number in (0, 3):
                message.encoding = "strange"
            serialized = serialize_message(message)
            if number == 3:
                serialized = serialized[:100]
            bag.write(
                *("/image_raw", serialized, START + number), message_type="sensor_msgs/msg/Image"
            )
    output = succeeded(tmp_path / "bag", "--start-node", "--record", tmp_path / "faces")
    assert "3 answered" in output
    assert "not used by the node (an image that cannot be used" in output
    assert [stamp_of(a) - START for a in faces_in(tmp_path / "faces")] == [1, 2, 4]


def test_by_time_what_is_dropped_is_told(one_camera: Path, golden: Path) -> None:
    ended = replay(one_camera, "--start-node", "--rate", "1000", "--check", golden)
    assert ended.returncode == 1, ended.stdout
    # Which ones is chance: each is counted, and the first few are named.
    played, checked = (
        re.search(pattern + r"(\d+) dropped by the node, which was busy", ended.stdout)
        for pattern in ("30 images played: .*?", "  30 images: .*?")
    )
    assert played and checked, ended.stdout
    assert 0 < int(played[1]) == int(checked[1]) < 30
    assert re.search(r"image \d+, stamp 17000\d+\.\d{9}: dropped by the node", ended.stdout)


def test_faces_that_differ_are_told(one_camera: Path, golden: Path, tmp_path: Path) -> None:
    """With a file that `ros2 param dump` wrote, of a node elsewhere that read a camera itself."""
    file = tmp_path / "dump.yaml"
    file.write_text(
        "/robot/facemesh:\n  ros__parameters:\n    landmarks_indices: []\n    smoothing: 'off'\n"
        "    source: '0'\n    use_sim_time: false\n"
        "    qos_overrides:\n      /faces:\n        publisher:\n          depth: 10\n"
    )
    ended = replay(one_camera, "--start-node", "--params-file", file, "--check", golden)
    assert ended.returncode == 1, ended.stdout
    assert "/faces: NOT as the golden faces" in ended.stdout
    assert "image 2, stamp 1700000000.100000007: different" in ended.stdout
    assert "pixels apart, 0.2 allowed" in ended.stdout


def no_bag(folder: Path) -> list[str | Path]:
    return [folder / "nothing"]


def no_images(folder: Path) -> list[str | Path]:
    with BagMaker(folder / "bag") as bag:
        bag.write("/text", String(data="no image"), START)
    return [folder / "bag"]


def damaged(folder: Path) -> list[str | Path]:
    (folder / "bag.mcap").write_bytes(b"no bag at all")
    return [folder / "bag.mcap"]


def no_topic(folder: Path) -> list[str | Path]:
    return [image_bag(folder), "--topics", "/other"]


def no_golden_faces(folder: Path) -> list[str | Path]:
    return [image_bag(folder), "--check", folder / "bag"]


def record_exists(folder: Path) -> list[str | Path]:
    (folder / "faces").mkdir()
    return [image_bag(folder), "--record", folder / "faces"]


def no_node(folder: Path) -> list[str | Path]:
    return [image_bag(folder), "--timeout", "1.5"]


def bad_parameter(folder: Path) -> list[str | Path]:
    return [image_bag(folder), "--start-node", "-p", "detector:=none"]


def misspelt_parameter(folder: Path) -> list[str | Path]:
    return [image_bag(folder), "--start-node", "-p", "detect_conf:=0.4"]


def parameters_of_a_maixcam(folder: Path) -> list[str | Path]:
    maixcam = "backend: maixcam, maixcam_address: maixcam.local, maixcam_token: ABCD-EFGH"
    file = folder / "dump.yaml"
    file.write_text(f"/facemesh: {{ros__parameters: {{{maixcam}}}}}")
    return [image_bag(folder), "--start-node", "--params-file", file]


def parameter_for_nobody(folder: Path) -> list[str | Path]:
    return [image_bag(folder), "-p", "detector:=none"]


def endless_check(folder: Path) -> list[str | Path]:
    return [image_bag(folder), "--check", folder / "bag", "--loop"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (no_bag, "nothing does not exist"),
        (damaged, "bag.mcap"),
        (no_topic, "has no topic /other: it has /camera/image_raw"),
        (no_golden_faces, "has no golden faces"),
        (record_exists, "exists, and is not overwritten"),
        (no_node, "subscribes to /camera/image_raw (sensor_msgs/msg/Image) and publishes"),
        (bad_parameter, "detector is 'none': give one of"),
        (misspelt_parameter, "no parameter 'detect_conf': did you mean 'detect_conf_th'?"),
        (parameters_of_a_maixcam, "backend is 'maixcam', which does not process images"),
        (parameter_for_nobody, "--param needs --start-node"),
        (endless_check, "--loop without a number cannot be used with --check"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: Callable[[Path], list[str | Path]], said: str, tmp_path: Path
) -> None:
    ended = replay(*arguments(tmp_path))
    assert ended.returncode == 2, ended.stdout
    assert said in ended.stdout
    assert "Traceback" not in ended.stdout
    assert not list(tmp_path.glob("*.partial"))


def test_what_it_waits_for_is_said_once(
    robot: Robot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(replay_nodes, "FIRST_TELL", 0.0)
    monkeypatch.setattr(replay_nodes, "TELL_INTERVAL", 0.1)
    with pytest.raises(replay_nodes.ReplayError, match="within 1 s these were not found"):
        replay_nodes.wait_for_nodes(
            robot,
            {"/camera/image_raw": "sensor_msgs/msg/Image"},
            every_one=False,
            started_here=False,
            timeout=1.0,
            check=lambda: None,
        )
    assert capsys.readouterr().out.count("waiting for") == 1


def test_a_fault_of_the_program_is_not_a_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(replay_run, "Bag", lambda _path: 1 / 0)
    assert facemesh_replay.main(["bag"]) == 2
    assert "a fault of this program" in capsys.readouterr().err


def test_ctrl_c_is_not_lost_where_python_ignores_exceptions(one_camera: Path) -> None:
    """As in a destructor, or in a callback of C."""
    replay = "maix_facemesh_ros.ros.replay"
    program = with_ctrl_c_in_a_destructor(
        f"{replay}.main", f"{replay}.player", "BagPlayer", "_spin"
    )
    ended = subprocess.run(
        [*program, str(one_camera), "--start-node"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode == replay_run.INTERRUPTED, ended.stdout + ended.stderr
    assert "Exception ignored" in ended.stderr, "the signal came where it was to come"


def unusable(folder: Path) -> list[str | Path]:
    message = image_message(np.zeros((8, 8, 3), np.uint8), START)
    message.encoding = "strange"
    with BagMaker(folder / "bag") as bag:
        bag.write("/camera/image_raw", message, START)
    return [folder / "bag", "--start-node"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (no_images, "has no usable images: Its topics are /text (std_msgs/msg/String)"),
        (unusable, "/camera/image_raw is skipped (1 message): the encoding is 'strange'"),
    ],
)
def test_not_a_single_image_is_a_code_of_its_own(
    arguments: Callable[[Path], list[str | Path]], said: str, tmp_path: Path
) -> None:
    ended = replay(*arguments(tmp_path))
    assert ended.returncode == 3, ended.stdout
    assert said in ended.stdout


def test_a_topic_of_distances_and_the_nodes_own_images_cost_nothing(tmp_path: Path) -> None:
    """And neither do ten damaged images at the beginning of a topic."""
    images = list(moving_scene())[:13]
    with BagMaker(tmp_path / "bag") as bag:
        for number, image in enumerate(images):
            stamp = START + number * INTERVAL
            message = image_message(image, stamp)
            bag.write("/left/image_raw", message, stamp)
            own = image_message(image, stamp, jpeg=True)
            bag.write("/left/facemesh/image_annotated/compressed", own, stamp)
            if number < 10:
                message.encoding = "strange"
            bag.write("/right/image_raw", message, stamp)
            message.encoding = "16UC1"
            bag.write("/range/image_raw", message, stamp)
    output = succeeded(tmp_path / "bag", "--start-node", "--record", tmp_path / "faces")
    assert "26 images played: 16 answered, 10 not used by the node" in output
    assert "/range/image_raw is skipped (13 messages): its images hold distances" in output
    assert "image_annotated/compressed is skipped (13 messages): these images are" in output
    with Bag(tmp_path / "faces") as faces:
        counts = {topic.name: topic.message_count for topic in faces.topics}
    assert counts == {"/left/faces": 13, "/right/faces": 3}


def test_quality_of_service_is_the_recorded_one(one_camera: Path) -> None:
    with Bag(one_camera) as bag:
        latched = quality_of_service(bag.topic("/description"))
        images = quality_of_service(bag.topic("/image_raw"))
        needed = quality_of_service(bag.topic("/image_raw"), reliable=True)
    assert latched.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert latched.reliability == ReliabilityPolicy.RELIABLE
    assert images.reliability == ReliabilityPolicy.BEST_EFFORT
    assert images.durability == DurabilityPolicy.VOLATILE
    assert needed.reliability == ReliabilityPolicy.RELIABLE
