"""Faces as a FaceArray, serialized: for the node's topic and for bags alike.

Filling in rclpy's message and having it serialized takes 1.7 times as long. The layout is that of
msg/FaceArray.msg, msg/Face.msg and msg/BoundingBox.msg in XCDR1 (DDS-XTypes 1.3, 7.4): a 4 byte
encapsulation header with the byte order, then each field aligned to its own size, counted from
after that header.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.face import DoubleArray, Face
from maix_facemesh_ros.image import ImageError, Stamp
from maix_facemesh_ros.messages.cdr import CdrReader

#: The encapsulation header of plain CDR, little endian.
LITTLE_ENDIAN = b"\x00\x01\x00\x00"

#: Bytes of a face without anything in its arrays, at least.
LEAST_FACE = 100

#: The default of geometry_msgs/Quaternion.msg: no rotation.
NO_ROTATION = (0.0, 0.0, 0.0, 1.0)


def serialized_faces(
    stamp: Stamp, frame_id: str, image_size: tuple[int, int], faces: Sequence[Face]
) -> bytes:
    """Return the FaceArray of one image.

    Args:
        stamp: the image's own.
        frame_id: the image's own.
        image_size: width, height in pixels.
        faces: in the order they shall have.
    """
    message = _CdrWriter()
    message.numbers("iI", *stamp)
    message.string(frame_id)
    message.numbers("III", *image_size, len(faces))
    for face in faces:
        _write_face(message, face)
    return message.finished()


def check_faces(message: bytes) -> None:
    """Check that a serialized FaceArray can hold the number of faces that it declares.

    The middleware makes room for all of them before it reads the first: 350 bytes for each byte of
    a message.

    Raises:
        ImageError: it is cut short, or not CDR.
    """
    reader = CdrReader(message)
    reader.header()
    _width, _height, count = reader.numbers("III")
    if count * LEAST_FACE > reader.left:
        raise ImageError(f"{reader.left} bytes cannot hold the {count} faces that they announce")


def quaternion_of(rotation: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return x, y, z, w of a (3, 3) rotation.

    The largest of the four is found from the diagonal and the others by it, so that nothing is
    divided by a small number (S. W. Shepperd, Quaternion from rotation matrix, 1978).
    """
    r = rotation.tolist()
    xx, yy, zz = r[0][0], r[1][1], r[2][2]
    # 4 times the products of each component with the four, in the order x, y, z, w.
    x_with = (1 + xx - yy - zz, r[1][0] + r[0][1], r[0][2] + r[2][0], r[2][1] - r[1][2])
    y_with = (x_with[1], 1 - xx + yy - zz, r[2][1] + r[1][2], r[0][2] - r[2][0])
    z_with = (x_with[2], y_with[2], 1 - xx - yy + zz, r[1][0] - r[0][1])
    w_with = (x_with[3], y_with[3], z_with[3], 1 + xx + yy + zz)
    largest = max(enumerate((x_with, y_with, z_with, w_with)), key=lambda row: row[1][row[0]])[1]
    length = math.sqrt(sum(component * component for component in largest))
    # The same rotation twice: the one with w of 0 or more.
    sign = -1.0 if largest[3] < 0 else 1.0
    x, y, z, w = (sign * component / length for component in largest)
    return x, y, z, w


def _write_face(message: _CdrWriter, face: Face) -> None:
    message.numbers("Ifffff", face.id, face.score, *face.box)
    message.sequence("<f4", face.box_keypoints)
    message.numbers("f", face.landmarks_score)
    message.sequence("<f4", face.points)
    message.sequence("<f4", face.points_z)
    message.sequence("<f4", face.points_rel)
    message.sequence("<u2", face.indices)
    message.sequence("<f4", face.blendshapes)
    pose, gaze = face.pose, face.gaze
    message.numbers("?", pose is not None)
    message.numbers("ddd", *_xyz(None if pose is None else pose[:3, 3]))
    message.numbers("dddd", *(NO_ROTATION if pose is None else quaternion_of(pose[:3, :3])))
    message.sequence("<f4", face.points_3d)
    message.numbers("?", gaze is not None)
    for vector in (
        (None,) * 4 if gaze is None else (gaze.origin, gaze.direction, gaze.right, gaze.left)
    ):
        message.numbers("ddd", *_xyz(vector))


def _xyz(vector: DoubleArray | None) -> Sequence[float]:
    return (0.0, 0.0, 0.0) if vector is None else vector.tolist()


class _CdrWriter:
    """Writes the fields of a CDR message one after the other."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = [LITTLE_ENDIAN]
        self._at = 0

    def numbers(self, kinds: str, *values: float) -> None:
        """Write numbers of one size, each of a kind as in `struct`."""
        self._align(struct.calcsize("=" + kinds[0]))
        self._put(struct.pack("<" + kinds, *values))

    def sequence(self, dtype: str, values: npt.NDArray[np.generic] | None) -> None:
        """Write a sequence of numbers, all there are in an array; None: it is empty."""
        self.numbers("I", 0 if values is None else values.size)
        if values is not None:
            self._put(np.ascontiguousarray(values, dtype).data)

    def string(self, text: str) -> None:
        """Write a string."""
        data = text.encode() + b"\0"
        self.numbers("I", len(data))
        self._put(data)

    def finished(self) -> bytes:
        """Return the message."""
        return b"".join(self._parts)

    def _align(self, size: int) -> None:
        if missing := -self._at % size:
            self._put(bytes(missing))

    def _put(self, data: bytes | memoryview) -> None:
        self._parts.append(data)
        self._at += data.nbytes if isinstance(data, memoryview) else len(data)
