"""Faces as ROS4HRI has them (REP-155): /humans/faces/tracked, and topics for each face."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from maix_facemesh_ros.analysis.action_units import action_units, expression_of
from maix_facemesh_ros.face import Face, FloatArray
from maix_facemesh_ros.image import Image, Pixels
from maix_facemesh_ros.mesh.connections import FACEMESH_FACE_OVAL
from maix_facemesh_ros.mesh.landmark_subsets import DLIB_68, LEFT_IRIS, RIGHT_IRIS
from maix_facemesh_ros.ros.messages import image_message
from maix_facemesh_ros.ros.result import Result

QUEUED_MESSAGES = 10

#: The 70 landmarks of hri_msgs/FacialLandmarks: dlib's 68, then the right and the left pupil.
HRI_LANDMARKS = (*DLIB_68, RIGHT_IRIS, LEFT_IRIS)

#: The landmarks from which `align` takes the box of a face, forehead included, and its eyes.
ALIGNED_LANDMARKS = (*FACEMESH_FACE_OVAL[:, 0].tolist(), *HRI_LANDMARKS)
#: Above the landmarks in an aligned image, as a part of their box's height: with it, the eyes in
#: the 110 aligned images of hri_face_identification/test/data are where they are there.
FOREHEAD_MARGIN = 0.03

#: Around a face in its cropped image, as a part of the box: the box of the landmarks ends at the
#: eyebrows, and the cropped image should include the forehead too.
CROP_MARGIN = 0.2
#: Width and height in pixels of a face's images (REP-155, /humans/faces/width and height).
CROP_SIZE = 128


class HumanFaces:
    """hri_msgs on /humans/faces/tracked and /humans/faces/<id>/...

    A topic's name cannot have a part that begins with a digit, so the face with id 7 is `f7` there.
    """

    def __init__(self, node: Node, messages: Any) -> None:
        self._node, self._msg = node, messages
        self._tracked = node.create_publisher(
            messages.IdsList, "/humans/faces/tracked", QUEUED_MESSAGES
        )
        #: The topics of a face: type, and the method that makes the message.
        self._topics = {
            "roi": (messages.NormalizedRegionOfInterest2D, self._roi),
            "landmarks": (messages.FacialLandmarks, self._landmarks),
            "facs": (messages.FacialActionUnits, self._action_units),
            "expression": (messages.Expression, self._expression),
            "cropped": (ImageMessage, self._cropped),
            "aligned": (ImageMessage, self._aligned),
        }
        self._of_face: dict[int, dict[str, Publisher]] = {}

    def publish(self, result: Result) -> None:
        """See `ResultPublisher`."""
        known = [face for face in result.faces if face.id]
        for gone in self._of_face.keys() - {face.id for face in known}:
            for publisher in self._of_face.pop(gone).values():
                self._node.destroy_publisher(publisher)
        for face in known:
            for name, publisher in self._publishers_of(face.id).items():
                if publisher.get_subscription_count():
                    _, make = self._topics[name]
                    message = make(result, face)
                    if message is not None:
                        publisher.publish(message)
        if self._tracked.get_subscription_count():
            ids = [hri_id(face.id) for face in known]
            self._tracked.publish(self._msg.IdsList(header=result.header, ids=ids))

    def _publishers_of(self, number: int) -> dict[str, Publisher]:
        if number not in self._of_face:
            depth = QoSProfile(depth=QUEUED_MESSAGES)
            self._of_face[number] = {
                name: self._node.create_publisher(
                    message_type, f"/humans/faces/{hri_id(number)}/{name}", depth
                )
                for name, (message_type, _) in self._topics.items()
            }
        return self._of_face[number]

    def _roi(self, result: Result, face: Face) -> Any:
        size = result.size
        x, y, width, height = face.box
        left, right = np.clip(np.array([x, x + width]) / size[0], 0, 1).tolist()
        top, bottom = np.clip(np.array([y, y + height]) / size[1], 0, 1).tolist()
        return self._msg.NormalizedRegionOfInterest2D(
            header=result.header, xmin=left, ymin=top, xmax=right, ymax=bottom, c=face.score
        )

    def _landmarks(self, result: Result, face: Face) -> Any | None:
        if not len(face.points):
            return None
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

    def _action_units(self, result: Result, face: Face) -> Any | None:
        if face.blendshapes is None:
            return None
        intensity, is_known = action_units(face.blendshapes)
        return self._msg.FacialActionUnits(
            header=result.header,
            intensity=intensity,
            confidence=is_known * np.float32(face.landmarks_score),
        )

    def _expression(self, result: Result, face: Face) -> Any | None:
        if face.blendshapes is None:
            return None
        name, confidence = expression_of(face.blendshapes)
        return self._msg.Expression(header=result.header, expression=name, confidence=confidence)

    def _cropped(self, result: Result, face: Face) -> ImageMessage | None:
        image = result.image
        if image is None:
            return None
        return _bgr8(result.header, replace(image, pixels=crop(face, image.pixels)))

    def _aligned(self, result: Result, face: Face) -> ImageMessage | None:
        image, landmarks = result.image, face.points_at(ALIGNED_LANDMARKS)
        if image is None or landmarks is None:
            return None
        return _bgr8(result.header, replace(image, pixels=align(image.pixels, landmarks)))


def _bgr8(header: Header, image: Image) -> ImageMessage:
    """Return an image as a message in bgr8, as hri_face_detect has it.

    libhri hands the pixels on as they are, and hri_face_identification takes them for blue, green,
    red.
    """
    return image_message(header, image.bgr, "bgr")


def hri_id(number: int) -> str:
    """Return a face's id as the name of a topic."""
    return f"f{number}"


def crop(face: Face, image: Pixels) -> Pixels:
    """Return the square around a face's box, uint8 (CROP_SIZE, CROP_SIZE, 3).

    Args:
        face: its box counts.
        image: uint8 (H, W, 3), of any channel order; the area outside is black.
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


def align(image: Pixels, landmarks: FloatArray) -> Pixels:
    """Return a face with its eyes level, uint8 (CROP_SIZE, CROP_SIZE, 3).

    As hri_face_detect makes it (node_face_detect.py, publish_aligned_face): the image is rotated
    about the center of the face's box, and this box, scaled to the longer side, is cut out.

    Args:
        image: uint8 (H, W, 3), of any channel order.
        landmarks: (106, 2) pixels, in the order of `ALIGNED_LANDMARKS`; their box is cut out.
    """
    (right_eye, left_eye) = landmarks[-2:]
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    low[1] -= FOREHEAD_MARGIN * (high[1] - low[1])
    width, height = np.maximum(high - low, 1.0).tolist()
    center_x, center_y = ((low + high) / 2).tolist()
    slope = np.degrees(np.arctan2(*(left_eye - right_eye)[::-1]))
    scale = CROP_SIZE / max(width, height)
    # Pixel i covers i to i + 1, and OpenCV's coordinates are of its center.
    center = (center_x - 0.5, center_y - 0.5)
    matrix = np.asarray(cv2.getRotationMatrix2D(center, float(slope), scale), np.float64)
    matrix[:, 2] += (CROP_SIZE / 2 - center_x, CROP_SIZE / 2 - center_y)
    aligned = cv2.warpAffine(np.ascontiguousarray(image), matrix, (CROP_SIZE, CROP_SIZE))
    # Next to the longer side is black, as there.
    blank_x, blank_y = (round((CROP_SIZE - scale * side) / 2) for side in (width, height))
    aligned[:, :blank_x] = aligned[:, CROP_SIZE - blank_x :] = 0
    aligned[:blank_y] = aligned[CROP_SIZE - blank_y :] = 0
    return np.asarray(aligned, np.uint8)


def _indices(face: Face) -> Iterable[int]:
    return range(len(face.points)) if face.indices is None else face.indices.tolist()
