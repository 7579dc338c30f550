"""Messages of every type that the programs subscribe to, with some of their bytes changed."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

import cv2
import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from maix_facemesh_ros.face import Face, FloatArray
from maix_facemesh_ros.image import Pixels, Stamp
from maix_facemesh_ros.messages.faces import serialized_faces
from maix_facemesh_ros.msg import FaceArray
from running_node import image_message

#: Numbers that break a sum or a size somewhere.
ODD_NUMBERS = (0, 1, 2, 127, 255, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

MESSAGE_TYPES = {
    "Image": Image,
    "CompressedImage": CompressedImage,
    "CameraInfo": CameraInfo,
    "FaceArray": FaceArray,
}


def honest(kind: str, image: Pixels) -> list[bytes]:
    """Return serialized messages of a type, by its name in `MESSAGE_TYPES`."""
    if kind == "Image":
        encodings = ("rgb8", "bgr8")
        return [bytes(serialize_message(image_message(image, name))) for name in encodings]
    if kind == "CompressedImage":
        return [_compressed(image, name) for name in (".jpg", ".png")]
    if kind == "CameraInfo":
        height, width = image.shape[:2]
        models = {"plumb_bob": 5, "rational_polynomial": 14, "equidistant": 4}
        return [_camera_info(width, height, *model) for model in models.items()]
    points: FloatArray = np.linspace(0, 200, 2 * 478, dtype=np.float32).reshape(478, 2)
    face = Face(id=1, score=0.9, box=(1, 2, 30, 40), points=points, points_z=points[:, 0])
    return [serialized_faces(Stamp(7, 8), "camera", (640, 480), [face] * n) for n in (0, 1, 3)]


def _compressed(image: Pixels, extension: str) -> bytes:
    data = cv2.imencode(extension, image[:, :, ::-1])[1].tobytes()
    message = CompressedImage(format=extension[1:], data=array("B", data))
    return bytes(serialize_message(message))


def _camera_info(width: int, height: int, model: str, count: int) -> bytes:
    message = CameraInfo(width=width, height=height, distortion_model=model, d=[0.01] * count)
    message.k = [500.0, 0.0, width / 2, 0.0, 500.0, height / 2, 0.0, 0.0, 1.0]
    message.p = [500.0, 0, width / 2, 0, 0, 500.0, height / 2, 0, 0, 0, 1.0, 0]
    return bytes(serialize_message(message))


def mutated(messages: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Give messages with bytes changed, mostly near their beginning, cut short, or longer."""
    random = np.random.default_rng(seed)
    for number in range(count):
        message = bytearray(messages[number % len(messages)])
        reach = (64, 400, len(message))[random.integers(3)]
        for _ in range(random.integers(1, 6)):
            place = int(random.integers(2, min(reach, len(message))))
            if random.random() < 0.5:
                message[place] = random.integers(256)
            else:  # A number, where numbers are.
                place -= place % 4
                odd = ODD_NUMBERS[random.integers(len(ODD_NUMBERS))]
                message[place : place + 4] = struct.pack("<I", odd)
        chance = random.random()
        if chance < 0.1:
            del message[random.integers(1, len(message)) :]
        elif chance < 0.15:
            message += random.bytes(int(random.integers(1, 2000)))
        yield bytes(message)
