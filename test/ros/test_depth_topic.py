"""`depth_topic`: depth images in, heads of their true size out."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from depth_images import Faults, rendered_mesh
from maix_facemesh_ros import CameraModel, FaceMesh
from maix_facemesh_ros.depth_image import DepthImage
from maix_facemesh_ros.face import DoubleArray
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.msg import Face
from running_node import Robot, StartNode, camera_info, image_message
from scenes import scene

pytest_plugins = ["running_node"]

#: Size of the head in the depth images.
SCALE = 0.85
#: As `camera_info` has it.
CAMERA = CameraModel.from_calibration(640, 360, (500.0, 0, 320, 0, 500, 180, 0, 0, 1), (), "")
PARAMETERS = ("depth_topic:=depth/image_raw", "smoothing:=off")


@pytest.fixture(scope="module")
def image(astronaut: Pixels) -> Pixels:
    return scene(astronaut, (320, 180, 130.0))


@pytest.fixture(scope="module")
def assumed(image: Pixels) -> DoubleArray:
    """The (478, 3) places of the landmarks of a head of average size."""
    with FaceMesh(pose=True) as mesh:
        mesh.camera = CAMERA
        (face,) = mesh.process(image)
    assert face.points_3d is not None
    return face.points_3d.astype(np.float64)


@pytest.fixture(scope="module")
def depth(assumed: DoubleArray) -> DepthImage:
    meters = rendered_mesh(CAMERA, SCALE * assumed[:468], wall=3.0)
    return Faults().applied(meters, np.random.default_rng(1))


def depth_message(depth: DepthImage, stamp: tuple[int, int], meters: bool = False) -> Image:
    values = (depth.values / 1000).astype(np.float32) if meters else depth.values
    width, height = depth.size
    message = Image(width=width, height=height, encoding="32FC1" if meters else "16UC1")
    message.step = width * values.itemsize
    message.header.stamp.sec, message.header.stamp.nanosec = stamp
    message.header.frame_id = "left_eye"
    message.data = array("B", values.tobytes())
    return message


class DepthCamera:
    """Sends an image with its depth image, again and again."""

    def __init__(self, robot: Robot, image: Pixels, message: Callable[[int], Image]) -> None:
        self._robot, self._image, self._message = robot, image, message
        self._infos = [
            robot.create_publisher(CameraInfo, topic, QoSProfile(depth=1))
            for topic in ("camera_info", "depth/camera_info")
        ]
        self._depths = robot.create_publisher(Image, "depth/image_raw", QoSProfile(depth=5))
        self._number = 10

    def face(self, with_depth: bool = True) -> Face:
        """Return the face in the next image."""
        self._number += 1
        for publisher in self._infos:
            publisher.publish(camera_info())
        if with_depth:
            self._depths.publish(self._message(self._number))
        stamp = (7, self._number * 1_000_000)
        (face,) = self._robot.ask(image_message(self._image, stamp=stamp)).faces
        return face

    def wait_for(self, is_right: Callable[[Face], bool], what: str) -> Face:
        """Send until a face is as it should be."""
        faces: list[Face] = []

        def is_there() -> bool:
            faces.append(self.face())
            return is_right(faces[-1])

        self._robot.wait_until(is_there, what)
        return faces[-1]


def is_measured(face: Face) -> bool:
    return bool(face.pose_valid and face.scale_source == Face.SCALE_DEPTH)


@pytest.mark.parametrize(("meters", "late"), [(False, 0), (True, 0), (False, 10)])
def test_heads_have_their_true_size(
    start: StartNode,
    robot: Robot,
    image: Pixels,
    depth: DepthImage,
    assumed: DoubleArray,
    meters: bool,
    late: int,
) -> None:
    """In mm and in m, with the stamps of the images or near them."""
    node = start(*PARAMETERS)
    robot.wait_for_node()
    camera = DepthCamera(
        robot,
        image,
        lambda number: depth_message(depth, (7, (number + late) * 1_000_000), meters),
    )
    face = camera.wait_for(is_measured, "face of measured size")
    points = np.array(face.points_3d).reshape(-1, 3)
    print(f"size {face.head_scale:.4f}, z {points[4, 2]:.3f} of {SCALE * assumed[4, 2]:.3f} m")
    assert face.head_scale == pytest.approx(SCALE, rel=0.02)
    np.testing.assert_allclose(points[:468, 2], SCALE * assumed[:468, 2], rtol=0.01)
    state = robot.next_diagnostics()["depth images"]
    assert state == "/depth/image_raw, 640x360"
    # The size is that of the person, and stays without depth.
    assert is_measured(camera.face(with_depth=False))
    assert "depth" not in node.output()


def test_without_depth_the_size_is_assumed(start: StartNode, robot: Robot, image: Pixels) -> None:
    node = start(*PARAMETERS, "face_scale:=0.9")
    robot.wait_for_node()
    camera = DepthCamera(robot, image, lambda _: Image())

    def is_posed() -> bool:
        face = camera.face(with_depth=False)
        if face.pose_valid:
            assert face.scale_source == Face.SCALE_ASSUMED
            assert face.head_scale == pytest.approx(0.9)
        return face.pose_valid and "no depth image on /depth/image_raw for 5 s" in node.output()

    robot.wait_until(is_posed, "line on the log")
    assert robot.next_diagnostics()["depth images"] == "none on /depth/image_raw"


def other_frame(depth: DepthImage, number: int) -> Image:
    message = depth_message(depth, (7, number * 1_000_000))
    message.header.frame_id = "depth_eye"
    return message


def color(depth: DepthImage, number: int) -> Image:
    message = depth_message(depth, (7, number * 1_000_000))
    message.encoding = "bgra8"
    return message


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (other_frame, "their frame is 'depth_eye' and that of the images is 'left_eye'"),
        (color, "depth image on /depth/image_raw not used: the encoding is 'bgra8'"),
        (
            lambda depth, number: depth_message(depth, (9, number)),
            "where 0.05 s are allowed: are both stamped by one clock?",
        ),
    ],
)
def test_depth_images_that_do_not_fit_are_named(
    start: StartNode,
    robot: Robot,
    image: Pixels,
    depth: DepthImage,
    message: Callable[[DepthImage, int], Image],
    said: str,
) -> None:
    node = start(*PARAMETERS)
    robot.wait_for_node()
    camera = DepthCamera(robot, image, lambda number: message(depth, number))
    camera.wait_for(lambda face: face.pose_valid and said in node.output(), "line on the log")
    assert camera.face().scale_source == Face.SCALE_ASSUMED
    assert node.output().count(said) == 1
