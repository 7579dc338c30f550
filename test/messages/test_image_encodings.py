"""Every encoding of a camera driver gives the colors that the camera saw.

The messages are made here with plain numpy from a chart of known colors, so that nothing of what
is tested makes its own test: not OpenCV's conversions, not the table of encodings.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from maix_facemesh_ros.image import Image, ImageError
from maix_facemesh_ros.messages.compressed_image import check_compressed
from maix_facemesh_ros.messages.encodings import ENCODINGS
from maix_facemesh_ros.messages.image import read_compressed_image, read_image

Bytes = npt.NDArray[np.uint8]

COLORS = np.array(
    [[230, 40, 60], [50, 200, 70], [40, 60, 220], [240, 230, 60], [128, 128, 128], [20, 200, 210]],
    np.uint8,
)
PATCH = 16
#: uint8 (32, 48, 3) RGB: patches of one color each.
CHART: Bytes = COLORS.reshape(2, 3, 3).repeat(PATCH, axis=0).repeat(PATCH, axis=1)
GRAY = np.rint(CHART @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
GRAY_CHART: Bytes = GRAY[:, :, np.newaxis].repeat(3, axis=2)


def yuv() -> tuple[Bytes, Bytes, Bytes]:
    """BT.601, 16..235: what cameras send."""
    red, green, blue = np.moveaxis(CHART.astype(float), 2, 0)
    y = 16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256
    u = 128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256
    v = 128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256
    return tuple(np.rint(plane).astype(np.uint8) for plane in (y, u, v))


def packed_422(order: str) -> Bytes:
    """Rows of four bytes for two pixels, in an order such as "uyvy"."""
    y, u, v = yuv()
    planes = {"u": u[:, ::2], "v": v[:, ::2]}
    luminances = iter((y[:, ::2], y[:, 1::2]))
    parts = [next(luminances) if name == "y" else planes[name] for name in order]
    return np.stack(parts, axis=2).reshape(len(y), -1)


def planes_420(order: str) -> Bytes:
    y, u, v = yuv()
    planes = {"u": u[::2, ::2], "v": v[::2, ::2]}
    color = np.stack([planes[name] for name in order], axis=2).reshape(len(y) // 2, -1)
    return np.concatenate([y, color])


def mosaic(pattern: str) -> Bytes:
    """One color a pixel; the pattern names the first two pixels of the first two rows."""
    rows = np.empty(CHART.shape[:2], np.uint8)
    for place, name in enumerate(pattern):
        row, column = divmod(place, 2)
        rows[row::2, column::2] = CHART[row::2, column::2, "rgb".index(name)]
    return rows


def with_alpha(pixels: Bytes) -> Bytes:
    alpha = np.full((*pixels.shape[:2], 1), 77, np.uint8)
    return np.concatenate([pixels, alpha], axis=2).reshape(len(pixels), -1)


def flat(pixels: Bytes) -> Bytes:
    return pixels.reshape(len(pixels), -1)


BGR_CHART = np.ascontiguousarray(CHART[:, :, ::-1])
BAYER = ("rggb", "bggr", "gbrg", "grbg")

#: encoding: the rows that a camera would send, and the colors that must come out.
SENT: dict[str, tuple[Bytes, Bytes]] = {
    "rgb8": (flat(CHART), CHART),
    "bgr8": (flat(BGR_CHART), CHART),
    "8UC3": (flat(BGR_CHART), CHART),
    "rgba8": (with_alpha(CHART), CHART),
    "bgra8": (with_alpha(BGR_CHART), CHART),
    "mono8": (GRAY, GRAY_CHART),
    "8UC1": (GRAY, GRAY_CHART),
    "yuv422": (packed_422("uyvy"), CHART),
    "uyvy": (packed_422("uyvy"), CHART),
    "yuv422_yuy2": (packed_422("yuyv"), CHART),
    "yuyv": (packed_422("yuyv"), CHART),
    "nv21": (planes_420("vu"), CHART),
    "nv12": (planes_420("uv"), CHART),
    **{f"bayer_{pattern}8": (mosaic(pattern), CHART) for pattern in BAYER},
}
SENT_16_BIT = {
    "mono16": (GRAY, GRAY_CHART),
    "16UC1": (GRAY, GRAY_CHART),
    **{f"bayer_{pattern}16": (mosaic(pattern), CHART) for pattern in BAYER},
}


def image(rows: Bytes, encoding: str, padding: int = 0, bigendian: bool = False) -> ImageMessage:
    height, width = CHART.shape[:2]
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    message = ImageMessage(height=height, width=width, encoding=encoding, step=padded.shape[1])
    message.is_bigendian = int(bigendian)
    message.data = array("B", padded.tobytes())
    return message


def assert_shows(seen: Image, colors: Bytes) -> None:
    """The middle of each patch has its color; at their borders demosaicing may do as it likes."""
    rgb = seen.rgb
    assert rgb.shape == CHART.shape
    middle = slice(PATCH // 2, None, PATCH)
    np.testing.assert_allclose(
        rgb[middle, middle].astype(int), colors[middle, middle].astype(int), atol=3
    )


def test_the_test_knows_every_encoding() -> None:
    assert {*SENT, *SENT_16_BIT} == set(ENCODINGS)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", SENT)
def test_colors_of_8_bit_encodings(encoding: str, padding: int) -> None:
    rows, colors = SENT[encoding]
    assert_shows(read_image(serialize_message(image(rows, encoding, padding))), colors)


@pytest.mark.parametrize("bigendian", [False, True])
@pytest.mark.parametrize("encoding", SENT_16_BIT)
def test_colors_of_16_bit_encodings_in_both_byte_orders(encoding: str, bigendian: bool) -> None:
    rows, colors = SENT_16_BIT[encoding]
    both = (rows.astype(np.uint16) << 8) + 0x55
    sent = both.astype(">u2" if bigendian else "<u2").view(np.uint8).reshape(len(rows), -1)
    message = image(sent, encoding, padding=4, bigendian=bigendian)
    assert_shows(read_image(serialize_message(message)), colors)


@pytest.mark.parametrize("encoding", ["yuv422", "nv12"])
def test_an_odd_size_that_cannot_be_is_named(encoding: str) -> None:
    message = image(SENT[encoding][0], encoding)
    message.width -= 1
    message.height -= 1
    with pytest.raises(ImageError, match="47 pixels wide"):
        read_image(serialize_message(message))


def encoded(extension: str, pixels: Bytes = BGR_CHART) -> bytes:
    return bytes(cv2.imencode(extension, pixels)[1].tobytes())


def compressed(data: bytes, name: str = "jpeg") -> bytes:
    message = CompressedImage(format=name)
    message.header.stamp.sec = 9
    message.header.frame_id = "camera"
    message.data = array("B", data)
    return bytes(serialize_message(message))


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_colors_of_compressed_images(extension: str) -> None:
    seen = read_compressed_image(compressed(encoded(extension), "bgr8; " + extension))
    assert_shows(seen, CHART)
    assert (seen.stamp.sec, seen.frame_id) == (9, "camera")


@pytest.mark.parametrize(
    "make", [lambda: encoded(".png", GRAY), lambda: encoded(".png", np.dstack([BGR_CHART, GRAY]))]
)
def test_gray_and_transparent_pngs_have_three_channels_too(make: Callable[[], bytes]) -> None:
    assert read_compressed_image(compressed(make())).pixels.shape == CHART.shape


def test_a_few_bytes_that_declare_a_huge_image_are_not_decoded() -> None:
    png = bytearray(encoded(".png"))
    png[16:24] = struct.pack(">II", 20_000, 20_000)
    jpeg = bytearray(encoded(".jpg"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 20_000, 20_000)
    for data in (png, jpeg):
        with pytest.raises(ImageError, match="declare an image of 20000x20000"):
            read_compressed_image(compressed(bytes(data)))


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_the_declared_size_is_the_image_s(extension: str) -> None:
    data = encoded(extension)
    assert check_compressed(data).size == (48, 32)
    progressive = cv2.imencode(".jpg", BGR_CHART, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert check_compressed(progressive).size == (48, 32)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"not an image", bytes(5000)])
def test_what_cannot_be_decoded_is_named(data: bytes) -> None:
    with pytest.raises(ImageError, match=f"{len(data)} bytes of format 'jpeg'"):
        read_compressed_image(compressed(data))
