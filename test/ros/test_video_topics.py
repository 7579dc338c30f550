"""`image_transport` foxglove and ffmpeg: H.264 and H.265 in, faces out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from maix_facemesh_ros.image import Pixels
from message_packages import build_message_package
from running_node import Robot, StartNode, stamp_of
from scenes import scene
from video_streams import compressed_video, encoded, ffmpeg_packet

pytest_plugins = ["running_node"]

STAND_IN = str(Path(__file__).parents[1] / "support/missing_stand_in")

SECOND = 10**9
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
MESSAGES: dict[str, tuple[str, str, str, Callable[[int, bytes], bytes]]] = {
    "foxglove": ("foxglove_msgs", "CompressedVideo", "h264", compressed_video),
    "ffmpeg": (
        "ffmpeg_image_transport_msgs",
        "FFMPEGPacket",
        "h265",
        lambda stamp, packet: ffmpeg_packet(stamp, packet, SIZE, "libx265"),
    ),
}


@pytest.mark.build
@pytest.mark.parametrize("transport", MESSAGES)
def test_a_video_has_faces_from_its_key_frame_on(
    start: StartNode, robot: Robot, astronaut: Pixels, tmp_path: Path, transport: str
) -> None:
    """Joined in the middle, and with a damaged packet."""
    package, message, format_name, serialized = MESSAGES[transport]
    environment = build_message_package(package, tmp_path, only=message)
    image = scene(astronaut, (320, 180, 120.0))
    packets = encoded([image] * IMAGES, format_name, key_interval=KEY_INTERVAL)
    packets[DAMAGED] = packets[DAMAGED][:20]
    folder = tmp_path / "messages"
    folder.mkdir()
    for number in range(FIRST, IMAGES):
        (folder / f"{number:03}").write_bytes(serialized((number + 1) * SECOND, packets[number]))
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
