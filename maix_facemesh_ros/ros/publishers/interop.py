"""The same faces in the messages of other packages, where these are installed.

Each package is a class here with one line in `OTHER_PACKAGES`. Its messages are imported when its
parameter is on, and its absence is a line on the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Protocol

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.mesh.landmark_subsets import DLIB_68, LEFT_IRIS, RIGHT_IRIS
from maix_facemesh_ros.messages.annotations import image_annotations
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros.messages import image_message, pose_message
from maix_facemesh_ros.ros.result import Result, ResultPublisher

QUEUED_MESSAGES = 10

#: The 70 landmarks of hri_msgs/FacialLandmarks: dlib's 68, then the right and the left pupil.
HRI_LANDMARKS = (*DLIB_68, RIGHT_IRIS, LEFT_IRIS)

#: Around a face in its cropped image, as a part of the box: the box of the landmarks ends at the
#: eyebrows, and the cropped image should include the forehead too.
CROP_MARGIN = 0.2
#: Width and height in pixels of a cropped image (REP-155, /humans/faces/width and height).
CROP_SIZE = 128


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


class HumanFaces:
    """hri_msgs as REP-155 has them: /humans/faces/tracked, and topics for each face.

    A topic's name cannot have a part that begins with a digit, so the face with id 7 is `f7` there.
    """

    def __init__(self, node: Node, messages: Any) -> None:
        self._node, self._msg = node, messages
        self._tracked = node.create_publisher(
            messages.IdsList, "/humans/faces/tracked", QUEUED_MESSAGES
        )
        #: By id: roi, landmarks, cropped.
        self._of_face: dict[int, tuple[Publisher, Publisher, Publisher]] = {}

    def publish(self, result: Result) -> None:
        """See `ResultPublisher`."""
        known = [face for face in result.faces if face.id]
        for gone in self._of_face.keys() - {face.id for face in known}:
            for publisher in self._of_face.pop(gone):
                self._node.destroy_publisher(publisher)
        for face in known:
            roi, landmarks, cropped = self._publishers_of(face.id)
            if roi.get_subscription_count():
                roi.publish(self._roi(result, face))
            if len(face.points) and landmarks.get_subscription_count():
                landmarks.publish(self._landmarks(result, face))
            if result.image is not None and cropped.get_subscription_count():
                cropped.publish(image_message(result.header, _crop(face, result.image.rgb)))
        if self._tracked.get_subscription_count():
            ids = [hri_id(face.id) for face in known]
            self._tracked.publish(self._msg.IdsList(header=result.header, ids=ids))

    def _publishers_of(self, number: int) -> tuple[Publisher, Publisher, Publisher]:
        if number not in self._of_face:
            topic = f"/humans/faces/{hri_id(number)}"
            depth = QoSProfile(depth=QUEUED_MESSAGES)
            self._of_face[number] = (
                self._node.create_publisher(
                    self._msg.NormalizedRegionOfInterest2D, f"{topic}/roi", depth
                ),
                self._node.create_publisher(self._msg.FacialLandmarks, f"{topic}/landmarks", depth),
                self._node.create_publisher(Image, f"{topic}/cropped", depth),
            )
        return self._of_face[number]

    def _roi(self, result: Result, face: Face) -> Any:
        size = result.size
        x, y, width, height = face.box
        left, right = np.clip(np.array([x, x + width]) / size[0], 0, 1).tolist()
        top, bottom = np.clip(np.array([y, y + height]) / size[1], 0, 1).tolist()
        return self._msg.NormalizedRegionOfInterest2D(
            header=result.header, xmin=left, ymin=top, xmax=right, ymax=bottom, c=face.score
        )

    def _landmarks(self, result: Result, face: Face) -> Any:
        size = result.size
        # A landmark that is not in `landmarks_indices` is at 0, 0 with confidence 0.
        places = dict(zip(_indices(face), np.clip(face.points / size, 0, 1).tolist(), strict=True))
        landmarks = []
        for index in HRI_LANDMARKS:
            landmark = self._msg.NormalizedPointOfInterest2D()
            if index in places:
                landmark.x, landmark.y = places[index]
                landmark.c = face.landmarks_score
            landmarks.append(landmark)
        return self._msg.FacialLandmarks(
            header=result.header, landmarks=landmarks, width=size[0], height=size[1]
        )


def hri_id(number: int) -> str:
    """Return a face's id as the name of a topic."""
    return f"f{number}"


def _indices(face: Face) -> Iterable[int]:
    return range(len(face.points)) if face.indices is None else face.indices.tolist()


def _crop(face: Face, image: Pixels) -> Pixels:
    """Return the square around a face's box, uint8 (CROP_SIZE, CROP_SIZE, 3).

    Args:
        face: its box counts.
        image: uint8 (H, W, 3); the area outside is black.
    """
    x, y, width, height = face.box
    side = max(1, round((1 + 2 * CROP_MARGIN) * max(width, height)))
    left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
    square = np.zeros((side, side, 3), np.uint8)
    seen = image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    row, column = max(-top, 0), max(-left, 0)
    square[row : row + seen.shape[0], column : column + seen.shape[1]] = seen
    smoothing = cv2.INTER_AREA if side > CROP_SIZE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (CROP_SIZE, CROP_SIZE), interpolation=smoothing), np.uint8)


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
