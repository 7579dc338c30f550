"""Makes the images of the views in docs/images, from what a real node publishes.

    AMENT_PREFIX_PATH=$PWD/.venv .venv/bin/python test/support/view_images.py docs/images

The face is NASA's public-domain portrait of Eileen Collins, from scikit-image. Foxglove's
annotations are drawn as its image panel does. rviz.jpg is not made here: it is a screenshot of
RViz, which is not on PyPI. PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from skimage import data

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.ros.dds_profile import shared_memory_environment
from message_packages import build_message_package
from running_node import NodeProcess, Robot, image_message, new_robot
from scenes import ASTRONAUT_POINTS

OTHER_PACKAGES = ("foxglove_msgs", "hri_msgs", "vision_msgs")
PARAMETERS = (
    *(f"{name}:=true" for name in OTHER_PACKAGES),
    "assumed_field_of_view:=60.0",
    "gaze:=true",
)
#: By topic: package and name of the messages that are drawn.
TOPICS = {
    "facemesh/image_annotated/compressed": "sensor_msgs CompressedImage",
    "facemesh/image_blurred/compressed": "sensor_msgs CompressedImage",
    "facemesh/image_annotations": "foxglove_msgs ImageAnnotations",
    "facemesh/detections": "vision_msgs Detection2DArray",
    "/humans/faces/f1/landmarks": "hri_msgs FacialLandmarks",
    "/humans/faces/f1/cropped": "sensor_msgs Image",
}

#: Everything is drawn this much larger, and then shrunk.
OVERSAMPLING = 3
FONT = cv2.FONT_HERSHEY_SIMPLEX


def camera_image() -> Pixels:
    """Return what the camera sees: the portrait, larger, 640x480."""
    scale = 1.9
    x, y = ASTRONAUT_POINTS.mean(axis=0)
    move = np.array([[scale, 0, 320 - scale * x], [0, scale, 230 - scale * y]])
    image = cv2.warpAffine(
        data.astronaut(), move, (640, 480), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(image, np.uint8)


# ---- As others show it --------------------------------------------------------------------------


def _rgb(color: Any) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in (color.r, color.g, color.b))
    return red, green, blue


def draw_annotations(image: Pixels, annotations: Any) -> Pixels:
    """Draw a foxglove_msgs/ImageAnnotations into a copy of an image, as Foxglove's panel does."""
    canvas = cv2.resize(image, None, fx=OVERSAMPLING, fy=OVERSAMPLING)
    for part in annotations.points:
        places = np.array([[point.x, point.y] for point in part.points]) * OVERSAMPLING
        pixels = places.round().astype(np.int32)
        color = _rgb(part.outline_color)
        thickness = round(part.thickness * OVERSAMPLING)
        if part.type == part.POINTS:
            for x, y in pixels.tolist():
                cv2.circle(canvas, (x, y), thickness, color, cv2.FILLED, cv2.LINE_AA)
        else:
            closed = part.type == part.LINE_LOOP
            cv2.polylines(canvas, [pixels], closed, color, thickness, cv2.LINE_AA)
    for text in annotations.texts:
        left_bottom = (
            round(text.position.x * OVERSAMPLING),
            round(text.position.y * OVERSAMPLING) - OVERSAMPLING,
        )
        scale = text.font_size * OVERSAMPLING / 30
        (width, height), below = cv2.getTextSize(text.text, FONT, scale, 3)
        x, y = left_bottom
        behind, color = _rgb(text.background_color), _rgb(text.text_color)
        cv2.rectangle(canvas, (x, y - height - below), (x + width, y), behind, cv2.FILLED)
        place = (x, y - below // 2)
        cv2.putText(canvas, text.text, place, FONT, scale, color, 3, cv2.LINE_AA)
    height, width = image.shape[:2]
    shrunk = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def draw_hri_face(cropped: Image, landmarks: Any, detections: Any) -> Pixels:
    """Draw the 70 landmarks into the cropped image; the detection's box tells where it is."""
    size = 3 * cropped.width
    bgr = np.frombuffer(cropped.data, np.uint8).reshape(cropped.height, cropped.width, 3)
    pixels = np.ascontiguousarray(bgr[:, :, ::-1])
    drawn = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_CUBIC)
    box = detections.detections[0].bbox
    side = 1.4 * max(box.size_x, box.size_y)
    left, top = box.center.position.x - side / 2, box.center.position.y - side / 2
    for number, point in enumerate(landmarks.landmarks):
        x = (point.x * landmarks.width - left) / side * size
        y = (point.y * landmarks.height - top) / side * size
        color = (255, 110, 60) if number >= 68 else (120, 255, 170)
        cv2.circle(drawn, (round(x), round(y)), 3, color, cv2.FILLED, cv2.LINE_AA)
    return np.asarray(drawn, np.uint8)


# ---- From a real node ---------------------------------------------------------------------------


def ask(robot: Robot, image: Pixels) -> dict[str, Any]:
    """Send an image until all topics have answered; returns what came last."""
    received: dict[str, Any] = {}
    for topic, message_type in TOPICS.items():
        package, name = message_type.split()
        robot.create_subscription(
            getattr(import_module(f"{package}.msg"), name),
            topic,
            lambda message, topic=topic: received.update({topic: message}),
            QoSProfile(depth=10),
        )
    robot.wait_for_node()
    second = 0
    # A few more, so that the smoothing has settled and there is a rate.
    while len(received) < len(TOPICS) or second < 40:
        second += 1
        next_one = time.monotonic() + 1 / 30
        robot.ask(image_message(image, stamp=(second // 30, second % 30 * 33_333_333)))
        robot.spin_for(next_one - time.monotonic())
        if second > 300:
            raise SystemExit(f"nothing came on {sorted(TOPICS.keys() - received.keys())}")
    robot.spin_for(0.5)
    return received


def write(path: Path, rgb: Pixels) -> None:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    print(path, path.stat().st_size // 1000, "kB")


def make_images(received: dict[str, Any], image: Pixels, folder: Path) -> None:
    for name in ("annotated", "blurred"):
        message: CompressedImage = received[f"facemesh/image_{name}/compressed"]
        path = folder / f"{name}_image.jpg"
        path.write_bytes(bytes(message.data))
        print(path, path.stat().st_size // 1000, "kB")

    foxglove = draw_annotations(image, received["facemesh/image_annotations"])
    hri = draw_hri_face(
        received["/humans/faces/f1/cropped"],
        received["/humans/faces/f1/landmarks"],
        received["facemesh/detections"],
    )
    hri = np.asarray(cv2.resize(hri, (480, 480), interpolation=cv2.INTER_CUBIC), np.uint8)
    write(folder / "interop.jpg", np.hstack([foxglove, hri]))


def main() -> None:
    """Build the message packages, start again with them, and make the images."""
    folder = Path(sys.argv[1])
    if "WITH_MESSAGE_PACKAGES" not in os.environ:
        with tempfile.TemporaryDirectory() as built:
            for package in OTHER_PACKAGES:
                environment = build_message_package(package, Path(built))
            environment |= {
                "WITH_MESSAGE_PACKAGES": "yes",
                "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
                "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
                **shared_memory_environment(),
            }
            subprocess.run(
                [sys.executable, *sys.argv], env={**os.environ, **environment}, check=True
            )
        return
    image = camera_image()
    rclpy.init()
    with tempfile.TemporaryDirectory() as logs, new_robot() as robot:
        node = NodeProcess(Path(logs, "node.log"), *PARAMETERS)
        try:
            make_images(ask(robot, image), image, folder)
        finally:
            node.stop()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
