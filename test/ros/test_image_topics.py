"""Remaps of an image topic hold for the topics that belong to it, as in image_transport."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.ros.image_topics import camera_info_topic, compressed_topic
from replay_bags import image_message
from running_node import Robot, StartNode, camera_info

pytest_plugins = ["running_node"]

STAMP = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def context() -> Iterator[rclpy.Context]:
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    context.try_shutdown()


@pytest.mark.parametrize(
    ("remaps", "compressed", "camera_info"),
    [
        ((), "/robot/image_raw/compressed", "/robot/camera_info"),
        (("image_raw:=/cam/image",), "/cam/image/compressed", "/cam/camera_info"),
        (("image_raw:=cam/image",), "/robot/cam/image/compressed", "/robot/cam/camera_info"),
        (("image_raw:=/image",), "/image/compressed", "/camera_info"),
        (
            ("image_raw/compressed:=/cam/image/compressed",),
            "/cam/image/compressed",
            "/cam/camera_info",
        ),
        (
            ("image_raw:=/a/image", "image_raw/compressed:=/b/image/compressed"),
            "/b/image/compressed",
            "/b/camera_info",
        ),
        (
            ("image_raw:=/cam/image", "camera_info:=/calibration"),
            "/cam/image/compressed",
            "/calibration",
        ),
        # What a rule says of a full name holds for names that have been derived, too.
        (("image_raw:=/a/image", "/a/camera_info:=/b/info"), "/a/image/compressed", "/b/info"),
    ],
)
def test_names(
    context: rclpy.Context, remaps: Sequence[str], compressed: str, camera_info: str
) -> None:
    rules = [part for remap in remaps for part in ("-r", remap)]
    node = rclpy.create_node(
        "facemesh", namespace="/robot", context=context, cli_args=["--ros-args", *rules]
    )
    images = compressed_topic(node, "image_raw")
    subscription = node.create_subscription(CompressedImage, images, print, 1)
    assert subscription.topic_name == compressed
    info = camera_info_topic(node, subscription.topic_name)
    assert node.create_publisher(CameraInfo, info, 1).topic_name == camera_info
    node.destroy_node()


def test_one_remap_is_enough_for_compressed_images_with_calibration(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    node = start("image_transport:=compressed", remaps=["image_raw:=/cam/image_raw"])
    height, width = astronaut.shape[:2]
    images = robot.create_publisher(
        CompressedImage, "/cam/image_raw/compressed", QoSProfile(depth=10)
    )
    infos = robot.create_publisher(CameraInfo, "/cam/camera_info", QoSProfile(depth=1))
    info = camera_info(width)
    info.height = height

    def has_pose() -> bool:
        infos.publish(info)
        images.publish(image_message(astronaut, STAMP, jpeg=True))
        robot.spin_for(0.2)
        return any(face.pose_valid for answer in robot.answers for face in answer.faces)

    robot.wait_until(has_pose, "face with a pose")
    assert "images from /cam/image_raw/compressed, faces on /faces" in node.output()
    subscribed = robot.get_subscriber_names_and_types_by_node("facemesh", "/")
    infos_of_node = [topic for topic, types in subscribed if "sensor_msgs/msg/CameraInfo" in types]
    assert infos_of_node == ["/cam/camera_info"]
