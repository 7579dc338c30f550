"""Demo: runs `facemesh_node` in its own process on images of a real, moving face.

This process is the camera and the robot: it publishes the images, subscribes to `faces`, prints a
summary of the messages, and writes an annotated image and a bag.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image

from maix_facemesh_ros.bags.output_folder import FacesBag
from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.image import ImageError, Pixels
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.dds_profile import shared_memory_environment
from maix_facemesh_ros.ros.messages import faces_of, read_faces
from maix_facemesh_ros.ros.node_process import end_node

WIDTH, HEIGHT = 640, 480
RATE = 30  # images per second
START_TIMEOUT = 20.0  # seconds


@dataclass
class _Answer:
    """One FaceArray as it arrived."""

    serialized: bytes
    message: FaceArray
    #: Nanoseconds of the ROS clock.
    arrived: int

    @property
    def stamp(self) -> int:
        """Stamp of the image in nanoseconds."""
        stamp = self.message.header.stamp
        return int(stamp.sec) * 10**9 + int(stamp.nanosec)

    @property
    def latency(self) -> float:
        """Milliseconds from the image's stamp to the arrival of its faces."""
        return (self.arrived - self.stamp) / 1e6


@dataclass
class _Scene:
    """A face that moves through the image, comes closer and tilts."""

    photo: Pixels
    sent: dict[int, Pixels] = field(default_factory=dict)

    def image(self, seconds: float) -> Pixels:
        """Return the uint8 (480, 640, 3) RGB image of this moment."""
        scale = 2.3 + 0.4 * math.sin(seconds * 0.9)
        degrees = 8 * math.sin(seconds * 1.3)
        # The face of the photo, at (225, 130), moves around the middle of the image.
        move = np.asarray(cv2.getRotationMatrix2D((225, 130), degrees, scale), np.float64)
        move[:, 2] += (
            WIDTH / 2 - 225 + 60 * math.sin(seconds * 1.1),
            HEIGHT / 2 - 130 + 30 * math.cos(seconds * 0.7),
        )
        image = cv2.warpAffine(self.photo, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(image, np.uint8)


class _Robot(Node):
    """Publishes the scene as a camera does and collects the faces that come back."""

    def __init__(self, scene: _Scene) -> None:
        super().__init__("facemesh_demo")
        self.scene = scene
        self.answers: list[_Answer] = []
        self._images = self.create_publisher(Image, "image_raw", qos_profile_sensor_data)
        self.create_subscription(FaceArray, "faces", self._on_faces, QoSProfile(depth=50), raw=True)

    def camera_is_seen(self) -> bool:
        return bool(self._images.get_subscription_count())

    def take_image(self, seconds: float) -> None:
        image = self.scene.image(seconds)
        now = self.get_clock().now()
        message = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=WIDTH * 3)
        message.header.stamp = now.to_msg()
        message.header.frame_id = "camera_optical_frame"
        message.data = array("B", image.tobytes())
        self._images.publish(message)
        self.scene.sent[now.nanoseconds] = image

    def _on_faces(self, serialized: bytes) -> None:
        arrived = self.get_clock().now().nanoseconds
        try:
            message = read_faces(serialized)
        except ImageError:  # of another publisher
            return
        self.answers.append(_Answer(serialized, message, arrived))


def main() -> int:
    """Run the demo; returns 0 if faces were received."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of the stream")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="output folder")
    arguments = parser.parse_args()

    _keep_to_this_machine()
    photo = _load_photo()
    rclpy.init()
    robot = _Robot(_Scene(photo))
    print("Starting facemesh_node in its own process ...", flush=True)
    node = subprocess.Popen([sys.executable, "-m", "maix_facemesh_ros.ros.facemesh_node"])
    try:
        _wait_for_node(robot, node)
        _show_face(robot, arguments.seconds)
    finally:
        node.terminate()
        node.wait(timeout=10)
        end_node(robot)
        rclpy.try_shutdown()
    return _report(robot, arguments.output)


def _keep_to_this_machine() -> None:
    """Restrict DDS to this machine, with enough shared memory for images."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.update(shared_memory_environment())


def _load_photo() -> Pixels:
    """Return NASA's public-domain portrait of Eileen Collins, uint8 (512, 512, 3) RGB."""
    try:
        from skimage import data
    except ImportError as error:
        raise SystemExit(
            "the demo's image comes with scikit-image: pip install scikit-image"
        ) from error
    return np.asarray(data.astronaut(), np.uint8)


def _wait_for_node(robot: _Robot, node: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while not robot.camera_is_seen():
        if node.poll() is not None:
            raise SystemExit(f"facemesh_node ended with exit code {node.returncode}: see above")
        if time.monotonic() > give_up:
            raise SystemExit(
                f"facemesh_node did not subscribe to image_raw within {START_TIMEOUT:.0f} s"
            )
        rclpy.spin_once(robot, timeout_sec=0.05)


def _show_face(robot: _Robot, seconds: float) -> None:
    """Publish at camera rate, receive the faces, and print a summary once a second."""
    start = time.monotonic()
    told = 0
    for number in range(round(seconds * RATE)):
        due = start + number / RATE
        while (rest := due - time.monotonic()) > 0:
            rclpy.spin_once(robot, timeout_sec=rest)
        robot.take_image(number / RATE)
        if (number + 1) % RATE == 0:
            told = _tell(robot, told, number + 1)
    end = time.monotonic() + 1.0
    while len(robot.answers) < len(robot.scene.sent) and time.monotonic() < end:
        rclpy.spin_once(robot, timeout_sec=0.05)


def _tell(robot: _Robot, told: int, sent: int) -> int:
    fresh = robot.answers[told:]
    if fresh:
        print(
            f"{sent:4d} images sent, {len(robot.answers):4d} answered | {len(fresh)} Hz, latency "
            f"{median(answer.latency for answer in fresh):.1f} ms | {_describe(fresh[-1].message)}",
            flush=True,
        )
    return len(robot.answers)


def _describe(message: FaceArray) -> str:
    return f"{len(message.faces)} face" + "".join(
        f": id {face.id}, score {face.score:.2f}, box {face.box.x:.0f},{face.box.y:.0f} "
        f"{face.box.width:.0f}x{face.box.height:.0f}, {len(face.points_z)} landmarks, "
        f"nose {face.points_z[4]:+.0f} px towards the camera"
        for face in message.faces
    )


def _report(robot: _Robot, output: Path) -> int:
    with_face = [answer for answer in robot.answers if answer.message.faces]
    print(
        f"{len(robot.scene.sent)} images sent, {len(robot.answers)} answered, "
        f"{len(with_face)} with a face"
    )
    if not with_face:
        print("No faces received: see the node's messages above.")
        return 1
    output.mkdir(parents=True, exist_ok=True)
    image, bag = output / "face.png", output / "faces_bag"
    _save_image(robot.scene.sent[with_face[-1].stamp], with_face[-1].message, image)
    _save_bag(robot.answers, bag)
    print(f"Annotated image: {image.resolve()}\nMCAP bag of faces: {bag.resolve()}")
    return 0


def _save_image(image: Pixels, message: FaceArray, path: Path) -> None:
    annotated = image.copy()
    for face in faces_of(message):
        draw_face(annotated, face, mesh=True, box=True, label=True)
    cv2.imwrite(str(path), annotated[:, :, ::-1])


def _save_bag(answers: list[_Answer], folder: Path) -> None:
    """Write the received messages, with their definitions, to an MCAP bag."""
    shutil.rmtree(folder, ignore_errors=True)
    with FacesBag(folder) as bag:
        for answer in answers:
            bag.write("/faces", answer.arrived, answer.serialized)


if __name__ == "__main__":
    sys.exit(main())
