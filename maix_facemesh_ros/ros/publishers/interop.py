"""The same faces in the messages of other packages, where these are installed.

Each package is a class here with one line in `OTHER_PACKAGES`. Its messages are imported when its
parameter is on, and its absence is a line on the log.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

from rclpy.node import Node

from maix_facemesh_ros.messages.annotations import image_annotations
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros.messages import pose_message
from maix_facemesh_ros.ros.publishers.human_faces import QUEUED_MESSAGES, HumanFaces
from maix_facemesh_ros.ros.result import Result, ResultPublisher


class OtherPackage(ResultPublisher, Protocol):
    """Faces in the messages of one package."""

    def __init__(self, node: Node, messages: Any) -> None:
        """Announce the topics; `messages` is the package's module `msg`."""
        ...


class Detections:
    """vision_msgs/Detection2DArray on ~/detections: boxes with scores and ids."""

    def __init__(self, node: Node, messages: Any) -> None:
        self._msg = messages
        self._publisher = node.create_publisher(
            messages.Detection2DArray, "~/detections", QUEUED_MESSAGES
        )

    def publish(self, result: Result) -> None:
        """See `ResultPublisher`."""
        if not self._publisher.get_subscription_count():
            return
        header = result.header
        detections = self._msg.Detection2DArray(header=header)
        for face in result.faces:
            x, y, width, height = face.box
            detection = self._msg.Detection2D(header=header, id=str(face.id) if face.id else "")
            detection.bbox.center.position.x = x + width / 2
            detection.bbox.center.position.y = y + height / 2
            detection.bbox.size_x, detection.bbox.size_y = width, height
            scored = self._msg.ObjectHypothesisWithPose()
            scored.hypothesis.class_id, scored.hypothesis.score = "face", face.score
            if face.pose is not None:
                scored.pose.pose = pose_message(face.pose)
            detection.results = [scored]
            detections.detections.append(detection)
        self._publisher.publish(detections)


class ImageAnnotations:
    """foxglove_msgs/ImageAnnotations on ~/image_annotations: boxes, landmarks and labels."""

    def __init__(self, node: Node, messages: Any) -> None:
        self._msg = messages
        self._publisher = node.create_publisher(
            messages.ImageAnnotations, "~/image_annotations", QUEUED_MESSAGES
        )

    def publish(self, result: Result) -> None:
        """See `ResultPublisher`."""
        if not self._publisher.get_subscription_count():
            return
        self._publisher.publish(image_annotations(self._msg, result.header, result.faces))


#: By the name of the package, which is that of the parameter too.
OTHER_PACKAGES: dict[str, type[OtherPackage]] = {
    "vision_msgs": Detections,
    "foxglove_msgs": ImageAnnotations,
    "hri_msgs": HumanFaces,
}


def open_other_packages(node: Node, parameters: NodeParameters) -> list[OtherPackage]:
    """Return those that are asked for and installed."""
    opened = []
    for name, package in OTHER_PACKAGES.items():
        if not getattr(parameters, name):
            continue
        try:
            opened.append(package(node, import_module(f"{name}.msg")))
        except ImportError as error:
            node.get_logger().warning(
                f"{name} is on, but nothing is published for it, because the package cannot be "
                f"imported ({error}): install it, or switch {name} off"
            )
    return opened
