"""16-bit images: a face is found whatever part of the 16 bits its camera fills."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.image import Image, ImageError, Pixels
from maix_facemesh_ros.messages.image import read_compressed_image, read_image
from maix_facemesh_ros.messages.levels import FULL, LEAST_RANGE, levels_of, to_8_bits

Values = npt.NDArray[np.uint16]


@pytest.fixture(scope="module")
def gray(astronaut: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY), np.uint8)


@pytest.fixture(scope="module")
def mesh() -> Iterator[FaceMesh]:
    with FaceMesh(smoothing="off") as mesh:
        yield mesh


def mosaic(astronaut: Pixels) -> Pixels:
    """The astronaut as an rggb sensor sees her."""
    rows: Pixels = astronaut[:, :, 1].copy()
    rows[::2, ::2], rows[1::2, 1::2] = astronaut[::2, ::2, 0], astronaut[1::2, 1::2, 2]
    return rows


def raw(values: Values, encoding: str) -> Image:
    height, width = values.shape
    message = ImageMessage(height=height, width=width, encoding=encoding, step=width * 2)
    message.data = array("B", values.astype("<u2").tobytes())
    return read_image(bytes(serialize_message(message)))


def png(values: Values) -> Image:
    data = cv2.imencode(".png", values)[1].tobytes()
    message = CompressedImage(format="16UC1; png compressed", data=array("B", data))
    return read_compressed_image(bytes(serialize_message(message)))


#: What a camera makes of 0..255.
FILLED = {
    "8 bits": lambda v: v,
    "10 bits": lambda v: v * 4 + 3,
    "12 bits": lambda v: v * 16 + 15,
    "16 bits": lambda v: v * 256 + 255,
    "16 bits, dark": lambda v: v * 20 + 100,
    "narrow band": lambda v: v * 5 + 21_000,
    "narrow band at the top": lambda v: v * 4 + 64_000,
}


@pytest.mark.parametrize("fill", FILLED.values(), ids=FILLED)
def test_a_face_is_found_in_whatever_part_of_16_bits_is_filled(
    astronaut: Pixels, gray: Pixels, mesh: FaceMesh, fill: object
) -> None:
    assert callable(fill)
    (expected,) = mesh.process(np.repeat(gray[:, :, np.newaxis], 3, axis=2))
    values = fill(gray.astype(np.uint16))
    images = {name: raw(values, name) for name in ("mono16", "16UC1")}
    images["png"] = png(values)
    images["bayer"] = raw(fill(mosaic(astronaut).astype(np.uint16)), "bayer_rggb16")
    for name, image in images.items():
        (face,) = mesh.process(image)
        off = np.linalg.norm(face.points - expected.points, axis=1).mean()
        assert off < 2.0, (name, image.levels, off)
        assert image.levels is not None


def test_an_image_that_fills_16_bits_is_as_its_upper_8_bits(gray: Pixels) -> None:
    image = raw(gray.astype(np.uint16) * 257, "mono16")
    assert image.levels == FULL
    np.testing.assert_array_equal(image.pixels, cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB))


def test_an_8_bit_image_has_no_levels(gray: Pixels) -> None:
    height, width = gray.shape
    message = ImageMessage(height=height, width=width, encoding="mono8", step=width)
    message.data = array("B", gray.tobytes())
    assert read_image(bytes(serialize_message(message))).levels is None


def test_levels_change_as_little_as_the_image_does(gray: Pixels) -> None:
    """From 8 bits to 16 in small steps, with noise: no jump, and nothing but black is all black."""
    random = np.random.default_rng(2)
    values = gray.astype(float)
    before = None
    for gain in 1.02 ** np.arange(281):
        seen = np.clip(values * gain + random.normal(0, gain, values.shape), 0, 65535)
        levels = levels_of(seen.astype(np.uint16))
        mean = to_8_bits(seen.astype(np.uint16), levels).mean()
        if before is not None:
            assert abs(mean - before) < 5, (gain, levels)
        before = mean
    assert levels == FULL


def test_borders_hot_pixels_and_a_lamp_do_not_count(gray: Pixels) -> None:
    values = gray.astype(np.uint16) + 20_000
    plain = levels_of(values)
    with_border = np.pad(values, 100)
    with_border[200:204, 300:310] = 65535
    levels = levels_of(with_border)
    assert np.abs(np.subtract(levels, plain)).max() < 30
    assert plain.white - plain.black < 600


@pytest.mark.parametrize("value", [0, 1, 1000, 65535])
def test_one_value_everywhere_is_an_image_too(value: int) -> None:
    values = np.full((30, 40), value, np.uint16)
    levels = levels_of(values)
    assert levels.white - levels.black >= LEAST_RANGE
    assert len(np.unique(to_8_bits(values, levels))) == 1


@pytest.mark.parametrize("encoding", ["32FC1", "64FC3", "16SC1"])
def test_numbers_without_a_range_are_refused_by_name(encoding: str) -> None:
    message = ImageMessage(
        height=4, width=4, encoding=encoding, step=32, data=array("B", bytes(128))
    )
    with pytest.raises(ImageError, match=f"the encoding is '{encoding}', .* known are rgb8"):
        read_image(bytes(serialize_message(message)))
