"""Makes the pictures of the views in docs/images, from what a real node publishes.

    AMENT_PREFIX_PATH=$PWD/.venv .venv/bin/python test/view_pictures.py docs/images

The face is NASA's public-domain portrait of Eileen Collins, from scikit-image. Markers and clouds
are drawn by a small renderer, because RViz is not on PyPI: perspective, near things over far ones,
sizes in metres, labels that face the viewer, on RViz's background. PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from skimage import data
from visualization_msgs.msg import Marker, MarkerArray

from maix_facemesh_ros.face import Picture
from maix_facemesh_ros.ros.face_cloud import POINT
from maix_facemesh_ros.ros.transport import shared_memory_environment
from message_packages import build_message_package
from running_node import NodeProcess, Robot, image_message, new_robot
from scenes import ASTRONAUT_POINTS

Numbers = npt.NDArray[np.floating]

OTHER_PACKAGES = ("foxglove_msgs", "hri_msgs", "vision_msgs")
PARAMETERS = (
    *(f"{name}:=true" for name in OTHER_PACKAGES),
    "assumed_field_of_view:=60.0",
    "gaze:=true",
)
#: By topic: package and name of the messages that are drawn.
TOPICS = {
    "facemesh/image_annotated/compressed": "sensor_msgs CompressedImage",
    "facemesh/markers": "visualization_msgs MarkerArray",
    "facemesh/points": "sensor_msgs PointCloud2",
    "facemesh/image_annotations": "foxglove_msgs ImageAnnotations",
    "facemesh/detections": "vision_msgs Detection2DArray",
    "/humans/faces/f1/landmarks": "hri_msgs FacialLandmarks",
    "/humans/faces/f1/cropped": "sensor_msgs Image",
}

#: Red, green, blue of RViz's background in rviz/facemesh.rviz.
BACKGROUND = (40, 44, 52)
#: Everything is drawn this much larger, and then shrunk.
OVERSAMPLING = 3
FONT = cv2.FONT_HERSHEY_SIMPLEX


def camera_picture() -> Picture:
    """Return what the camera sees: the portrait, larger, 640x480."""
    scale = 1.9
    x, y = ASTRONAUT_POINTS.mean(axis=0)
    move = np.array([[scale, 0, 320 - scale * x], [0, scale, 230 - scale * y]])
    picture = cv2.warpAffine(
        data.astronaut(), move, (640, 480), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(picture, np.uint8)


# ---- As RViz would show it ----------------------------------------------------------------------


@dataclass
class View:
    """Where a viewer stands: looks at a place in the camera's frame, y down."""

    focus: tuple[float, float, float]
    distance: float
    #: Degrees to the side and above, from behind the camera.
    aside: float
    above: float
    size: tuple[int, int]
    _axes: Numbers = field(init=False)

    def __post_init__(self) -> None:
        a, b = np.radians((self.aside, self.above))
        forwards = np.array([-np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)])
        right = np.cross((0, 1, 0), forwards)
        right /= np.linalg.norm(right)
        self._axes = np.array([right, np.cross(forwards, right), forwards])

    @property
    def focal_length(self) -> float:
        """Pixels of the enlarged picture: a field of view of 45 degrees, as RViz's."""
        return OVERSAMPLING * self.size[1] / 2 / float(np.tan(np.radians(22.5)))

    def project(self, places: Numbers) -> tuple[Numbers, Numbers]:
        """Return (N, 2) pixels of the enlarged picture, and (N,) metres before the viewer."""
        eye = np.array(self.focus) - self.distance * self._axes[2]
        seen = (np.asarray(places) - eye) @ self._axes.T
        middle = np.array(self.size) * OVERSAMPLING / 2
        return seen[:, :2] / seen[:, 2:] * self.focal_length + middle, seen[:, 2]


class Stroke(NamedTuple):
    """Something to draw, and how far away it is."""

    depth: float
    draw: Callable[[Picture], Any]


def render(view: View, markers: MarkerArray, cloud: PointCloud2 | None = None) -> Picture:
    """Draw markers, and a cloud over them in the colours of its z, far things first."""
    width, height = view.size
    canvas = np.full((height * OVERSAMPLING, width * OVERSAMPLING, 3), BACKGROUND, np.uint8)
    strokes = [stroke for marker in markers.markers for stroke in _strokes(view, marker)]
    if cloud is not None:
        strokes += _cloud_strokes(view, cloud)
    for stroke in sorted(strokes, key=lambda stroke: -stroke.depth):
        stroke.draw(canvas)
    shrunk = cv2.resize(canvas, view.size, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def _strokes(view: View, marker: Marker) -> Iterator[Stroke]:
    points = np.array([[point.x, point.y, point.z] for point in marker.points]).reshape(-1, 3)
    colours = [_rgb(colour, marker.color.a) for colour in marker.colors or [marker.color]]
    if marker.type == Marker.TEXT_VIEW_FACING:
        yield _text(view, marker, colours[0])
    elif marker.type == Marker.POINTS:
        yield from _dots(view, points, colours * len(points), marker.scale.x)
    elif marker.type == Marker.LINE_LIST:
        yield from _lines(view, points, colours, marker.scale.x)
    elif marker.type == Marker.LINE_STRIP:
        yield from _lines(view, np.repeat(points, 2, axis=0)[1:-1], colours, marker.scale.x)
    elif marker.type == Marker.ARROW:
        yield from _lines(view, points, colours, marker.scale.x)
        # The cone, from its base to the tip.
        tip, base = points[1], points[1] - marker.scale.z * _direction(points)
        for part in np.linspace(0, 1, 12):
            yield from _dots(
                view, (base + part * (tip - base))[None], colours, marker.scale.y * (1 - part)
            )
    else:
        raise NotImplementedError(f"markers of type {marker.type}")


def _direction(ends: Numbers) -> Numbers:
    step = ends[1] - ends[0]
    return np.asarray(step / np.sqrt(step @ step), np.float64)


def _rgb(colour: Any, opacity: float) -> tuple[int, int, int]:
    mixed = opacity * 255 * np.array((colour.r, colour.g, colour.b))
    red, green, blue = np.rint(mixed + (1 - opacity) * np.array(BACKGROUND)).astype(int).tolist()
    return red, green, blue


def _dots(
    view: View, places: Numbers, colours: list[tuple[int, int, int]], size: float
) -> Iterator[Stroke]:
    pixels, depths = view.project(places)
    for (x, y), depth, colour in zip(pixels.tolist(), depths.tolist(), colours, strict=False):
        radius = max(1, round(size / 2 * view.focal_length / depth))
        yield Stroke(depth, _circle((round(x), round(y)), radius, colour))


def _circle(
    center: tuple[int, int], radius: int, colour: tuple[int, int, int]
) -> Callable[[Picture], Any]:
    return lambda canvas: cv2.circle(canvas, center, radius, colour, cv2.FILLED, cv2.LINE_AA)


def _lines(
    view: View, ends: Numbers, colours: list[tuple[int, int, int]], width: float
) -> Iterator[Stroke]:
    pixels, depths = view.project(ends)
    per_line = colours[::2] if len(colours) == len(ends) else colours * len(ends)
    for line, (near, far), colour in zip(
        pixels.round().astype(int).reshape(-1, 2, 2).tolist(),
        depths.reshape(-1, 2).tolist(),
        per_line,
        strict=False,
    ):
        depth = (near + far) / 2
        thickness = max(1, round(width * view.focal_length / depth))
        yield Stroke(depth, _line(line, thickness, colour))


def _line(
    ends: list[list[int]], thickness: int, colour: tuple[int, int, int]
) -> Callable[[Picture], Any]:
    return lambda canvas: cv2.line(canvas, ends[0], ends[1], colour, thickness, cv2.LINE_AA)


def _text(view: View, marker: Marker, colour: tuple[int, int, int]) -> Stroke:
    place = marker.pose.position
    ((x, y),), (depth,) = view.project(np.array([[place.x, place.y, place.z]]))
    # The height of an upper-case letter is 22 pixels at scale 1.
    scale = marker.scale.z * view.focal_length / depth / 22
    thickness = max(1, round(2 * scale))
    (width, height), _ = cv2.getTextSize(marker.text, FONT, scale, thickness)
    left_bottom = (round(x - width / 2), round(y + height / 2))
    return Stroke(
        depth,
        lambda canvas: cv2.putText(
            canvas, marker.text, left_bottom, FONT, scale, colour, thickness, cv2.LINE_AA
        ),
    )


def _cloud_strokes(view: View, cloud: PointCloud2) -> Iterator[Stroke]:
    """Three pixels wide, coloured by z from red to magenta, as RViz's AxisColor."""
    points = np.frombuffer(cloud.data, POINT)
    places = np.column_stack([points["x"], points["y"], points["z"]]).astype(float)
    nearness = (places[:, 2] - places[:, 2].min()) / max(np.ptp(places[:, 2]), 1e-9)
    hues = np.zeros((1, len(points), 3), np.uint8)
    hues[0, :, 0], hues[0, :, 1:] = (150 * nearness).astype(int), 255
    colours = cv2.cvtColor(hues, cv2.COLOR_HSV2RGB)[0].tolist()
    pixels, depths = view.project(places)
    for (x, y), depth, colour in zip(pixels.tolist(), depths.tolist(), colours, strict=True):
        yield Stroke(depth, _circle((round(x), round(y)), 2 * OVERSAMPLING // 2, tuple(colour)))


# ---- As others show it --------------------------------------------------------------------------


def draw_annotations(picture: Picture, annotations: Any) -> Picture:
    """Draw a foxglove_msgs/ImageAnnotations into a copy of a picture, as Foxglove's panel does."""
    canvas = cv2.resize(picture, None, fx=OVERSAMPLING, fy=OVERSAMPLING)
    for part in annotations.points:
        places = np.array([[point.x, point.y] for point in part.points]) * OVERSAMPLING
        pixels = places.round().astype(np.int32)
        colour = _rgb(part.outline_color, 1.0)
        thickness = round(part.thickness * OVERSAMPLING)
        if part.type == part.POINTS:
            for x, y in pixels.tolist():
                cv2.circle(canvas, (x, y), thickness, colour, cv2.FILLED, cv2.LINE_AA)
        else:
            closed = part.type == part.LINE_LOOP
            cv2.polylines(canvas, [pixels], closed, colour, thickness, cv2.LINE_AA)
    for text in annotations.texts:
        left_bottom = (
            round(text.position.x * OVERSAMPLING),
            round(text.position.y * OVERSAMPLING) - OVERSAMPLING,
        )
        scale = text.font_size * OVERSAMPLING / 30
        (width, height), below = cv2.getTextSize(text.text, FONT, scale, 3)
        x, y = left_bottom
        behind, colour = _rgb(text.background_color, 1.0), _rgb(text.text_color, 1.0)
        cv2.rectangle(canvas, (x, y - height - below), (x + width, y), behind, cv2.FILLED)
        place = (x, y - below // 2)
        cv2.putText(canvas, text.text, place, FONT, scale, colour, 3, cv2.LINE_AA)
    height, width = picture.shape[:2]
    shrunk = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def draw_hri_face(cropped: Image, landmarks: Any, detections: Any) -> Picture:
    """Draw the 70 landmarks into the cropped picture; the detection's box tells where it is."""
    size = 3 * cropped.width
    pixels = np.frombuffer(cropped.data, np.uint8).reshape(cropped.height, cropped.width, 3)
    drawn = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_CUBIC)
    box = detections.detections[0].bbox
    side = 1.4 * max(box.size_x, box.size_y)
    left, top = box.center.position.x - side / 2, box.center.position.y - side / 2
    for number, point in enumerate(landmarks.landmarks):
        x = (point.x * landmarks.width - left) / side * size
        y = (point.y * landmarks.height - top) / side * size
        colour = (255, 110, 60) if number >= 68 else (120, 255, 170)
        cv2.circle(drawn, (round(x), round(y)), 3, colour, cv2.FILLED, cv2.LINE_AA)
    return np.asarray(drawn, np.uint8)


# ---- From a real node ---------------------------------------------------------------------------


def ask(robot: Robot, picture: Picture) -> dict[str, Any]:
    """Send a picture until all topics have answered; returns what came last."""
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
        robot.ask(image_message(picture, stamp=(second // 30, second % 30 * 33_333_333)))
        robot.spin_for(next_one - time.monotonic())
        if second > 300:
            raise SystemExit(f"nothing came on {sorted(TOPICS.keys() - received.keys())}")
    robot.spin_for(0.5)
    return received


def write(path: Path, rgb: Picture) -> None:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    print(path, path.stat().st_size // 1000, "kB")


def make_pictures(received: dict[str, Any], picture: Picture, folder: Path) -> None:
    annotated: CompressedImage = received["facemesh/image_annotated/compressed"]
    path = folder / "annotated_picture.jpg"
    path.write_bytes(bytes(annotated.data))
    print(path, path.stat().st_size // 1000, "kB")

    markers, cloud = received["facemesh/markers"], received["facemesh/points"]
    label = next(marker for marker in markers.markers if marker.ns == "label")
    head = label.pose.position
    focus = (head.x, head.y + 0.12, head.z)
    front = View(focus, 0.38, -18, 6, (400, 420))
    aside = View(focus, 0.38, 48, 12, (400, 420))
    only_points = MarkerArray(markers=[m for m in markers.markers if m.ns in ("axes", "label")])
    write(
        folder / "rviz.jpg",
        np.hstack(
            [render(front, markers), render(aside, markers), render(aside, only_points, cloud)]
        ),
    )
    foxglove = draw_annotations(picture, received["facemesh/image_annotations"])
    hri = draw_hri_face(
        received["/humans/faces/f1/cropped"],
        received["/humans/faces/f1/landmarks"],
        received["facemesh/detections"],
    )
    hri = np.asarray(cv2.resize(hri, (480, 480), interpolation=cv2.INTER_CUBIC), np.uint8)
    write(folder / "interop.jpg", np.hstack([foxglove, hri]))


def main() -> None:
    """Build the message packages, start again with them, and make the pictures."""
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
    picture = camera_picture()
    rclpy.init()
    with tempfile.TemporaryDirectory() as logs, new_robot() as robot:
        node = NodeProcess(Path(logs, "node.log"), *PARAMETERS)
        try:
            make_pictures(ask(robot, picture), picture, folder)
        finally:
            node.stop()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
