"""`image_transport` foxglove and ffmpeg: H.264 and H.265 in, faces out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from golden_replays import EXACTLY
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.ros.replay.golden import GoldenFaces
from message_packages import build_message_package
from recorded_bags import HEIGHT, SECOND, START, WIDTH, camera_info, write_bag
from recorded_bags import scene as moving_scene
from running_node import Robot, StartNode, stamp_of
from scenes import scene
from video_streams import compressed_video, encoded, ffmpeg_packet

pytest_plugins = ["running_node"]

STAND_IN = str(Path(__file__).parents[1] / "support/missing_stand_in")

SIZE = (640, 360)
IMAGES, KEY_INTERVAL = 40, 10
#: The first packet that is sent, and one that is damaged.
FIRST, DAMAGED = 3, 15

#: Publishes serialized messages, files in a folder in their order, when there is a subscriber.
SENDER = """
import sys, time
from importlib import import_module
from pathlib import Path
import rclpy
from rclpy.qos import QoSProfile

folder, topic, package, message = sys.argv[1:]
rclpy.init()
node = rclpy.create_node("sender")
message_type = getattr(import_module(package + ".msg"), message)
publisher = node.create_publisher(message_type, topic, QoSProfile(depth=50))
while not publisher.get_subscription_count():
    time.sleep(0.05)
time.sleep(0.5)
for file in sorted(Path(folder).iterdir()):
    publisher.publish(file.read_bytes())
    time.sleep(0.1)
time.sleep(60)
"""

#: By `image_transport`: package, message, encoder, and how a packet becomes a message.
MESSAGES: dict[str, tuple[str, str, str, Callable[[int, bytes, tuple[int, int]], bytes]]] = {
    "foxglove": (
        "foxglove_msgs",
        "CompressedVideo",
        "h264",
        lambda stamp, packet, _size: compressed_video(stamp, packet),
    ),
    "ffmpeg": (
        "ffmpeg_image_transport_msgs",
        "FFMPEGPacket",
        "h265",
        lambda stamp, packet, size: ffmpeg_packet(stamp, packet, size, "libx265"),
    ),
}


@pytest.fixture(scope="module", params=MESSAGES)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def environment(transport: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with the transport's messages."""
    package, message, *_ = MESSAGES[transport]
    return build_message_package(package, tmp_path_factory.mktemp(package), only=message)


@pytest.mark.build
def test_a_video_has_faces_from_its_key_frame_on(
    start: StartNode,
    robot: Robot,
    astronaut: Pixels,
    tmp_path: Path,
    transport: str,
    environment: dict[str, str],
) -> None:
    """Joined in the middle, and with a damaged packet."""
    package, message, format_name, serialized = MESSAGES[transport]
    image = scene(astronaut, (320, 180, 120.0))
    packets = encoded([image] * IMAGES, format_name, key_interval=KEY_INTERVAL)
    packets[DAMAGED] = packets[DAMAGED][:20]
    folder = tmp_path / "messages"
    folder.mkdir()
    for number in range(FIRST, IMAGES):
        packet = serialized((number + 1) * SECOND, packets[number], SIZE)
        (folder / f"{number:03}").write_bytes(packet)
    node = start(
        f"image_transport:={transport}",
        "always_process:=true",
        remaps=["image_raw:=/cam/image_raw"],
        environment=environment,
    )
    robot.wait_until(lambda: robot.count_subscribers(f"/cam/image_raw/{transport}") > 0, "node")
    robot.spin_for(1.0)
    sender = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SENDER,
            str(folder),
            f"/cam/image_raw/{transport}",
            package,
            message,
        ],
        env={**os.environ, **environment},
    )
    try:
        robot.wait_until(
            lambda: bool(robot.answers) and stamp_of(robot.answers[-1])[0] == IMAGES,
            "answer to the last image",
        )
    finally:
        sender.kill()
        sender.wait(20)
    numbers = [stamp_of(answer)[0] - 1 for answer in robot.answers]
    assert numbers[0] == KEY_INTERVAL, numbers
    assert not {*range(DAMAGED, 2 * KEY_INTERVAL)} & {*numbers}, numbers
    assert {len(answer.faces) for answer in robot.answers} == {1}
    assert {(answer.image_width, answer.image_height) for answer in robot.answers} == {SIZE}
    counts = robot.next_diagnostics()
    awaited = KEY_INTERVAL - FIRST + (2 * KEY_INTERVAL - DAMAGED - 1)
    assert counts["not answered: a video that waits for its key frame"] == str(awaited)
    assert counts["not answered: an image that cannot be used"] == "1"
    assert node.output().count("waits for its next key frame") == 1


@pytest.mark.build
@pytest.mark.usefixtures("own_network")
def test_a_recorded_video_is_replayed_with_golden_faces(
    tmp_path: Path, transport: str, environment: dict[str, str]
) -> None:
    """Recorded from the middle of a stream, and played twice: the same faces each time."""
    package, message, format_name, serialized = MESSAGES[transport]
    packets = encoded(moving_scene(14), format_name, key_interval=KEY_INTERVAL)[KEY_INTERVAL - 2 :]
    topic = f"/camera/image_raw/{transport}"
    recorded = []
    for number, packet in enumerate(packets):
        stamp = START + number * SECOND // 2
        recorded += [
            ("/camera/camera_info", "sensor_msgs/msg/CameraInfo", stamp, camera_info(stamp)),
            (topic, f"{package}/msg/{message}", stamp, serialized(stamp, packet, (WIDTH, HEIGHT))),
        ]
    write_bag(tmp_path / "bag", recorded)

    def replayed(*options: str | Path) -> str:
        finished = subprocess.run(
            [sys.executable, "-m", "maix_facemesh_ros.programs.start", "facemesh_replay"]
            + [str(part) for part in (tmp_path / "bag", "--start-node", *options)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    output = replayed("--record", tmp_path / "golden")
    assert f"{topic} is answered by /camera/facemesh on /camera/faces" in output
    assert "6 images played: 4 answered, 2 not used by the node (a video that waits" in output
    with GoldenFaces(tmp_path / "golden") as golden:
        answers = list(golden.on("/camera/faces"))
    assert [[face.pose_valid for face in answer.faces] for answer in answers] == [[True]] * 4
    output = replayed("--loop", "2", "--check", tmp_path / "golden", *EXACTLY)
    assert output.count("/camera/faces: as the golden faces") == 2


@pytest.mark.parametrize("transport", MESSAGES)
def test_missing_messages_are_one_line(start: StartNode, transport: str) -> None:
    package = MESSAGES[transport][0]
    node = start(
        f"image_transport:={transport}",
        environment={"PYTHONPATH": STAND_IN, "MISSING_MODULES": package},
    )
    assert node.process.wait(60) == 1
    (line,) = node.output().splitlines()
    assert f"image_transport is '{transport}', which needs {package}: source the setup.bash" in line
