"""Demo: runs `facemesh_node` in its own process on images of a real, moving face.

This process is the camera and the robot: it publishes the images, subscribes to `faces`, prints a
summary of the messages, and writes an annotated image, an annotated video, and a bag of the images
and their faces.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import shutil
import signal
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
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from maix_facemesh_ros.analysis.action_units import expression_of
from maix_facemesh_ros.analysis.angles import direction_angles, head_angles
from maix_facemesh_ros.bags.faces_bag import FacesBag
from maix_facemesh_ros.bags.message_types import COMPRESSED_IMAGE, FACE_ARRAY
from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import ImageError, Pixels
from maix_facemesh_ros.messages.compressed_image import (
    JPEG_FORMAT,
    check_compressed,
    decode_compressed,
    encode_jpeg,
)
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.programs.start import INTERRUPTED
from maix_facemesh_ros.ros.dds_profile import shared_memory_environment
from maix_facemesh_ros.ros.facemesh_node_child import start_node, stop_nodes
from maix_facemesh_ros.ros.messages import faces_of, read_faces
from maix_facemesh_ros.ros.node_process import end_node
from maix_facemesh_ros.wording import counted

WIDTH, HEIGHT = 640, 480
RATE = 30  # images per second
START_TIMEOUT = 20.0  # seconds
LAST_ANSWER_TIMEOUT = 3.0
FRAME = "camera_optical_frame"

#: Answers before those that count: the node loads some networks with its first images.
WARM_UP = 15

#: Parameters of the node: all that a face can have.
PARAMETERS = ("assumed_field_of_view:=60.0", "gaze:=true", "blendshapes:=true")

NEXT_STEPS = """\
Annotated image: {image}
Annotated video: {video}
MCAP bag of images and faces: {bag}

Next:
  {replay}
      plays the bag into the node, which finds the same faces again
  {facemesh} see 0
      your own camera in a browser
  {facemesh} find YOUR.mp4 -o faces.csv
      a table of the faces in a video; with -o faces.mp4 the video with the faces drawn in
  docs/install.md
      the node on your robot"""


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
class Scene:
    """A face that moves through the image, comes closer and tilts."""

    photo: Pixels
    #: The images of this summary, and all since the start as JPEG, by their stamps in nanoseconds.
    sent: dict[int, Pixels] = field(default_factory=dict)
    jpegs: dict[int, bytes] = field(default_factory=dict)

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

    def __init__(self, scene: Scene) -> None:
        super().__init__("facemesh_demo")
        self.scene = scene
        self.answers: list[_Answer] = []
        #: Those that do not count.
        self.answers_before: list[_Answer] = []
        self._is_interrupted = False
        self._reset = self.create_client(Trigger, "facemesh/reset")
        self._images = self.create_publisher(Image, "image_raw", qos_profile_sensor_data)
        self.create_subscription(FaceArray, "faces", self._on_faces, QoSProfile(depth=50), raw=True)

    def interrupt(self, *_: object) -> None:
        """Note that Ctrl-C was pressed: an exception here could be lost, in a callback of C."""
        self._is_interrupted = True

    def spin(self, seconds: float) -> None:
        """Wait for one answer; raises KeyboardInterrupt after Ctrl-C."""
        rclpy.spin_once(self, timeout_sec=seconds)
        if self._is_interrupted:
            raise KeyboardInterrupt

    def camera_is_seen(self) -> bool:
        return bool(self._images.get_subscription_count())

    def take_image(self, image: Pixels) -> None:
        # As a camera with JPEG: the bag then has exactly the images that the node has processed.
        jpeg = encode_jpeg(image[:, :, ::-1])
        image = decode_compressed(check_compressed(jpeg)).pixels[:, :, ::-1]
        now = self.get_clock().now()
        message = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=WIDTH * 3)
        message.header.stamp = now.to_msg()
        message.header.frame_id = FRAME
        message.data = array("B", image.tobytes())
        self._images.publish(message)
        self.scene.sent[now.nanoseconds] = image
        self.scene.jpegs[now.nanoseconds] = jpeg

    def reset_node(self) -> None:
        """Have the node begin a new stream with the next image; the bag begins with it too."""
        give_up = time.monotonic() + LAST_ANSWER_TIMEOUT
        # The latest image replaces those that wait: behind it none is left.
        latest = max(self.scene.sent)
        while all(answer.stamp != latest for answer in self.answers) and time.monotonic() < give_up:
            self.spin(0.1)
        reset = self._reset.call_async(Trigger.Request())
        give_up = time.monotonic() + START_TIMEOUT
        while not reset.done() and time.monotonic() < give_up:
            self.spin(0.1)
        if not reset.done():
            raise SystemExit(f"facemesh_node did not reset within {START_TIMEOUT:.0f} s")
        self.forget()
        self.answers_before = []
        self.scene.jpegs.clear()

    def forget(self) -> None:
        """Count from here: the answers to images that have been sent already do not count."""
        self.scene.sent.clear()
        self.answers_before += self.answers
        self.answers = []

    def _on_faces(self, serialized: bytes) -> None:
        arrived = self.get_clock().now().nanoseconds
        try:
            message = read_faces(serialized)
        except ImageError:  # of another publisher
            return
        answer = _Answer(serialized, message, arrived)
        if answer.stamp in self.scene.sent:
            self.answers.append(answer)
        elif answer.stamp in self.scene.jpegs:
            self.answers_before.append(answer)


def main() -> int:
    """Run the demo; returns 0 if faces were received."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of the stream")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="output folder")
    arguments = parser.parse_args()

    _keep_to_this_machine()
    photo = _load_photo()
    # rclpy's handler would end the context under the node.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    robot = _Robot(Scene(photo))
    signal.signal(signal.SIGINT, robot.interrupt)  # ignored in a shell's background
    print("Starting facemesh_node in its own process ...", flush=True)
    node = start_node(_parameter_arguments())
    is_interrupted = False
    try:
        _wait_for_node(robot, node)
        _show_face(robot, arguments.seconds)
    except KeyboardInterrupt:
        is_interrupted = True
        print("interrupted")
    finally:
        stop_nodes([node])
        end_node(robot)
        rclpy.try_shutdown()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if is_interrupted and not any(answer.message.faces for answer in robot.answers):
        return INTERRUPTED
    return _report(robot, arguments.output)


def _parameter_arguments() -> list[str]:
    return [part for parameter in PARAMETERS for part in ("-p", parameter)]


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
    """Send images until answers come back: both ends have found each other, and all is loaded.

    First images without a face, and a reset: the node then processes the images of the bag as does
    a node that begins with them.
    """
    empty = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    _send_until_answered(robot, node, empty, answers=1)
    robot.reset_node()
    _send_until_answered(robot, node, robot.scene.image(0.0), answers=WARM_UP)
    robot.forget()


def _send_until_answered(
    robot: _Robot, node: subprocess.Popen[bytes], image: Pixels, *, answers: int
) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while len(robot.answers) < answers:
        if node.poll() is not None:
            raise SystemExit(f"facemesh_node ended with exit code {node.returncode}: see above")
        if time.monotonic() > give_up:
            raise SystemExit(f"facemesh_node did not answer an image within {START_TIMEOUT:.0f} s")
        if robot.camera_is_seen():
            robot.take_image(image)
        robot.spin(0.1)


def _show_face(robot: _Robot, seconds: float) -> None:
    """Publish at camera rate, receive the faces, and print a summary once a second."""
    start = time.monotonic()
    told = 0
    for number in range(round(seconds * RATE)):
        due = start + number / RATE
        _receive_until(robot, due)
        robot.take_image(robot.scene.image(number / RATE))
        if (number + 1) % RATE == 0:
            told = _tell(robot, told, number + 1)
    end = time.monotonic() + 1.0
    while len(robot.answers) < len(robot.scene.sent) and time.monotonic() < end:
        robot.spin(0.05)
    if not told:  # not one answer within the seconds in which the images were sent
        _tell(robot, 0, len(robot.scene.sent), time.monotonic() - start)


def _receive_until(robot: _Robot, due: float) -> None:
    """Receive answers; all that wait, also on a machine that is too slow for the rate."""
    received = -1
    while (rest := due - time.monotonic()) > 0 or len(robot.answers) > received:
        received = len(robot.answers)
        robot.spin(max(rest, 0.0))


def _tell(robot: _Robot, told: int, sent: int, seconds: float = 1.0) -> int:
    """Print a summary of the answers of the last seconds; returns the number of all answers."""
    fresh = robot.answers[told:]
    if fresh:
        print(
            f"{sent:4d} images sent, {len(robot.answers):4d} answered | "
            f"{len(fresh) / seconds:.0f} Hz, latency "
            f"{median(answer.latency for answer in fresh):.1f} ms | {_describe(fresh[-1].message)}",
            flush=True,
        )
    return len(robot.answers)


def _describe(message: FaceArray) -> str:
    faces = faces_of(message)
    return counted(len(faces), "face") + "".join(map(_describe_face, faces))


def _describe_face(face: Face) -> str:
    text = f": id {face.id}, score {face.score:.2f}, {len(face.points)} landmarks"
    if face.pose is not None:
        yaw, pitch, roll = head_angles(face.pose)
        distance = float(np.linalg.norm(face.pose[:3, 3]))
        text += f", {distance:.2f} m away, yaw {yaw:+.0f} pitch {pitch:+.0f} roll {roll:+.0f} deg"
    if face.gaze is not None:
        yaw, pitch = direction_angles(face.gaze.direction)
        text += f", gaze {yaw:+.0f} {pitch:+.0f} deg"
    if face.blendshapes is not None:
        text += f", {expression_of(face.blendshapes)[0]}"
    return text


def _report(robot: _Robot, output: Path) -> int:
    with_face = [answer for answer in robot.answers if answer.message.faces]
    print(
        f"{counted(len(robot.scene.sent), 'image')} sent, {len(robot.answers)} answered, "
        f"{len(with_face)} with a face"
    )
    if not with_face:
        print("No faces received: see the node's messages above.")
        return 1
    output.mkdir(parents=True, exist_ok=True)
    image, video, bag = output / "face.png", output / "faces.mp4", output / "faces_bag"
    cv2.imwrite(str(image), _annotated(robot, with_face[-1]))
    _save_video(robot, video)
    _save_bag(robot, bag)
    played = shlex.quote(str(bag))
    parameters = shlex.join(_parameter_arguments())
    replay = f"{_typed('facemesh_replay')} {played} --start-node {parameters} --check {played}"
    places = {"image": image.resolve(), "video": video.resolve(), "bag": bag.resolve()}
    print(NEXT_STEPS.format(**places, replay=replay, facemesh=_typed("facemesh")))
    return 0


def _typed(program: str) -> str:
    """Return what a user types in the current folder to start a program of this environment."""
    script = Path(sys.executable).with_name(program)
    if not script.exists():  # installed by colcon
        return f"ros2 run maix_facemesh_ros {program}"
    if shutil.which(program) == str(script):
        return program
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))


def _annotated(robot: _Robot, answer: _Answer) -> Pixels:
    """Return the image of an answer with its faces drawn into it, blue, green, red."""
    annotated = robot.scene.sent[answer.stamp].copy()
    for face in faces_of(answer.message):
        draw_face(annotated, face, mesh=True, box=True, label=True)
    return annotated[:, :, ::-1]


def _save_video(robot: _Robot, path: Path) -> None:
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    video = cv2.VideoWriter(str(path), codec, RATE, (WIDTH, HEIGHT))
    for answer in robot.answers:
        video.write(_annotated(robot, answer))
    video.release()


def _save_bag(robot: _Robot, folder: Path) -> None:
    """Write the processed images and their faces, with their definitions, to an MCAP bag."""
    shutil.rmtree(folder, ignore_errors=True)
    messages = []
    for answer in robot.answers_before + robot.answers:
        image = CompressedImage(format=JPEG_FORMAT, data=robot.scene.jpegs[answer.stamp])
        image.header = answer.message.header
        data = serialize_message(image)
        messages.append((answer.stamp, "/image_raw/compressed", data, COMPRESSED_IMAGE))
        messages.append((answer.arrived, "/faces", answer.serialized, FACE_ARRAY))
    with FacesBag(folder) as bag:
        for log_time, topic, data, message_type in sorted(messages):
            bag.write(topic, log_time, data, message_type)


if __name__ == "__main__":
    sys.exit(main())
