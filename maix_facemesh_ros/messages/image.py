"""Images from serialized messages: the pixels are a view of the bytes, nothing is copied.

rclpy would copy a 1080p image into a Python object in 1.6 ms; reading the few fields before the
pixels takes microseconds. The layout is that of sensor_msgs in XCDR1 (DDS-XTypes 1.3, 7.4): a 4
byte encapsulation header with the byte order, then each field aligned to its own size, counted from
after that header.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.image import Image, ImageError, Levels, Pixels, Stamp
from maix_facemesh_ros.messages.cdr import CdrReader
from maix_facemesh_ros.messages.compressed_image import (
    CompressedFile,
    check_compressed,
    decode_compressed,
)
from maix_facemesh_ros.messages.encodings import ENCODINGS, to_image, unknown_encoding
from maix_facemesh_ros.wording import counted


class ImageFields(NamedTuple):
    """The fields of a sensor_msgs/Image."""

    stamp: Stamp
    frame_id: str
    height: int
    width: int
    encoding: str
    is_bigendian: bool
    #: Bytes from one row to the next.
    step: int
    #: A view of the message's bytes.
    data: memoryview


class EncodedImage(NamedTuple):
    """A JPEG or PNG with its header, from a topic."""

    stamp: Stamp
    frame_id: str
    #: As the sender calls it.
    format: str
    #: The JPEG or PNG, a view of the message's bytes.
    file: CompressedFile


class OtherEncoding(Protocol):
    """An encoding that `ENCODINGS` does not have, with its conversion."""

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes from one pixel to the next in a row."""
        ...

    def to_bgr(
        self, rows: npt.NDArray[np.uint8], width: int, bigendian: bool
    ) -> tuple[Pixels, Levels | None]:
        """Return a uint8 (height, width, 3) image; arguments and levels as for `to_image`."""
        ...


def _no_other_encoding(name: str) -> OtherEncoding:
    raise ImageError(unknown_encoding(name))


def read_image_fields(message: bytes) -> ImageFields:
    """Read a serialized sensor_msgs/Image, of any encoding.

    Raises:
        ImageError: cut short.
    """
    reader = CdrReader(message)
    stamp, frame_id = reader.header()
    height, width, length = reader.numbers("III")
    encoding = reader.text(length)
    (is_bigendian,) = reader.numbers("B")
    step, length = reader.numbers("II")
    data = reader.data(length)
    return ImageFields(stamp, frame_id, height, width, encoding, bool(is_bigendian), step, data)


def read_image(
    message: bytes, find_other: Callable[[str], OtherEncoding] = _no_other_encoding
) -> Image:
    """Read a serialized sensor_msgs/Image.

    Args:
        message: serialized, as received from the middleware.
        find_other: returns the encoding for a name that is not in `ENCODINGS`, or raises
            ImageError.

    Raises:
        ImageError: cut short, an unknown encoding, or a size that does not fit the data.
    """
    stamp, frame_id, height, width, name, is_bigendian, step, data = read_image_fields(message)
    if width == 0 or height == 0:
        raise ImageError(f"the image is {width}x{height}: it has no pixels")
    encoding = ENCODINGS.get(name)
    if encoding is None:
        other = find_other(name)
        rows = _rows(data, height, width, step, other.bytes_per_pixel)
        image, levels = other.to_bgr(rows, width, is_bigendian)
        return Image(image, "bgr", stamp, frame_id, levels)
    row_count = height * encoding.rows_per_two // 2
    rows = _rows(data, row_count, width, step, encoding.bytes_per_pixel)
    image, levels = to_image(rows, width, encoding, is_bigendian)
    return Image(image, encoding.order, stamp, frame_id, levels)


def _rows(
    data: memoryview, count: int, width: int, step: int, bytes_per_pixel: int
) -> npt.NDArray[np.uint8]:
    """Return the rows of an image, uint8 (count, width * bytes_per_pixel): a view of the data.

    Raises:
        ImageError: the data is smaller than that.
    """
    row_bytes = width * bytes_per_pixel
    if step < row_bytes:
        raise ImageError(f"step is {step} bytes where a row of {width} pixels has {row_bytes}")
    if len(data) < step * (count - 1) + row_bytes:
        rows = counted(count, "row")
        raise ImageError(
            f"the data has {len(data)} bytes where {rows} of {step} make {step * count}"
        )
    return np.ndarray((count, row_bytes), np.uint8, data, strides=(step, 1))


def read_compressed_image(message: bytes) -> Image:
    """Read a serialized sensor_msgs/CompressedImage: JPEG or PNG.

    A camera's orientation tag is ignored: landmarks are positions in the image as sent.

    Raises:
        ImageError: neither JPEG nor PNG, damaged, cut short, or too large.
    """
    stamp, frame_id, name, file = read_encoded_image(message)
    try:
        image, levels = decode_compressed(file)
    except ImageError as error:
        raise _cannot_be_decoded(name, file.data, error) from error
    return Image(image, "bgr", stamp, frame_id, levels)


def read_encoded_image(message: bytes) -> EncodedImage:
    """Read a serialized sensor_msgs/CompressedImage without decoding its image.

    Raises:
        ImageError: neither JPEG nor PNG, cut short, or too large.
    """
    reader = CdrReader(message)
    stamp, frame_id = reader.header()
    (length,) = reader.numbers("I")
    name = reader.text(length)
    (length,) = reader.numbers("I")
    data = reader.data(length)
    try:
        return EncodedImage(stamp, frame_id, name, check_compressed(data))
    except ImageError as error:
        raise _cannot_be_decoded(name, data, error) from error


def read_stamp(message: bytes) -> Stamp:
    """Read the stamp of any serialized message that begins with a std_msgs/Header.

    Raises:
        ImageError: cut short, or not CDR.
    """
    stamp, _ = CdrReader(message).header()
    return stamp


def _cannot_be_decoded(name: str, data: memoryview, why: ImageError) -> ImageError:
    return ImageError(f"{len(data)} bytes of format {name[:40]!r} cannot be decoded: {why}")
