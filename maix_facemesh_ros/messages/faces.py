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

from maix_facemesh_ros.face import DoubleArray, Face, ScaleSource
from maix_facemesh_ros.image import ImageError, Stamp
from maix_facemesh_ros.messages.cdr import CdrReader
from maix_facemesh_ros.wording import counted

#: The encapsulation header of plain CDR, little endian.
LITTLE_ENDIAN = b"\x00\x01\x00\x00"

#: Bytes of a face without anything in its arrays, at least.
LEAST_FACE = 100

#: Fields of a message: kinds of numbers as in `struct`, or one of `_SEQUENCES`.
_Fields = tuple[str, ...]
_SEQUENCES = {"float32[]": "f4", "uint16[]": "u2"}

#: The first fields of msg/Face.msg: until points_3d.
_FACE: _Fields = (
    *("Ifffff", "float32[]", "f", *["float32[]"] * 3, "uint16[]", "float32[]"),
    *("?", "ddddddd", "float32[]"),
)
#: The fields that were appended, by version: the gaze, then the size of the head.
_APPENDED: tuple[_Fields, ...] = (("?", "d" * 12), ("f", "B"))

#: Numbers of `Face.scale_source` in the message.
SCALE_SOURCES: dict[ScaleSource, int] = {"assumed": 0, "depth": 1}

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
        raise ImageError(f"{reader.left} bytes cannot hold {counted(count, 'face')}")


def upgraded_faces(message: bytes) -> bytes:
    """Return a serialized FaceArray with the fields of now.

    Messages of older versions, as bags hold them, lack the fields that were appended to
    msg/Face.msg since; these become 0. A message that fits no version is returned as it is.

    Raises:
        ImageError: it is not CDR.
    """
    for version in range(len(_APPENDED), -1, -1):
        upgraded = converted_faces(message, version, len(_APPENDED))
        if upgraded is not None:
            return message if version == len(_APPENDED) else upgraded
    return message


def converted_faces(message: bytes, version: int, wanted: int) -> bytes | None:
    """Convert a serialized FaceArray from one version of msg/Face.msg to another.

    Args:
        message: serialized.
        version: number of times that fields had been appended to its Face.msg.
        wanted: the same of the result; fields that are new in it are 0.

    Returns:
        None if the message is not of this version.
    """
    reader, writer = CdrReader(message), _CdrWriter()
    try:
        stamp, frame_id = reader.header()
        size_and_count = reader.numbers("III")
        writer.numbers("iI", *stamp)
        writer.string(frame_id)
        writer.numbers("III", *size_and_count)
        for _ in range(size_and_count[2]):
            _copy_fields(_FACE, reader, writer)
            for number, fields in enumerate(_APPENDED):
                source = reader if number < version else None
                _copy_fields(fields, source, writer if number < wanted else _CdrWriter())
    except ImageError:
        return None
    # The middleware may fill up to a multiple of four bytes.
    return writer.finished() if reader.left < 4 else None


def _copy_fields(fields: _Fields, reader: CdrReader | None, writer: _CdrWriter) -> None:
    """Copy fields; without a reader, numbers are 0."""
    for kinds in fields:
        if kinds in _SEQUENCES:
            dtype = _SEQUENCES[kinds]
            writer.sequence(f"<{dtype}", None if reader is None else reader.sequence(dtype))
        else:
            writer.numbers(kinds, *((0,) * len(kinds) if reader is None else reader.numbers(kinds)))


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
    message.numbers("f", face.head_scale)
    message.numbers("B", SCALE_SOURCES[face.scale_source])


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
