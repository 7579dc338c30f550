"""Camera models from sensor_msgs/CameraInfo, of any library, and from calibration files."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from maix_facemesh_ros.camera.model import CameraModel, Region
from maix_facemesh_ros.messages.cdr import CdrReader
from maix_facemesh_ros.messages.transport_names import base_topic
from maix_facemesh_ros.parameters import ParameterError
from maix_facemesh_ros.user_files import read_small_file
from maix_facemesh_ros.wording import counted

#: Default of a field that a calibration file may omit: no rectification.
IDENTITY = {"data": (1, 0, 0, 0, 1, 0, 0, 0, 1)}


class _WholeSensor(NamedTuple):
    """A sensor_msgs/RegionOfInterest that leaves nothing out."""

    x_offset: int = 0
    y_offset: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class FileCalibration:
    """Content of a calibration file, in the fields of sensor_msgs/CameraInfo."""

    width: int
    height: int
    distortion_model: str
    d: list[float]
    k: list[float]
    r: list[float]
    p: list[float]
    binning_x: int = 0
    binning_y: int = 0
    roi: _WholeSensor = _WholeSensor()  # noqa: RUF009


def camera_of(message: Any, *, rectified: bool) -> CameraModel:
    """Return the camera that a CameraInfo describes.

    Args:
        message: with the fields of sensor_msgs/msg/CameraInfo.
        rectified: the images are without distortion, as the message's P describes them.

    Raises:
        CalibrationError: it describes none.
    """
    binning = (message.binning_x, message.binning_y)
    part = message.roi
    region = Region(part.x_offset, part.y_offset, part.width, part.height)
    size = (message.width, message.height)
    if rectified:
        return CameraModel.from_projection(*size, message.p, binning=binning, region=region)
    return CameraModel.from_calibration(
        *size, message.k, message.d, message.distortion_model, binning=binning, region=region
    )


def check_camera_info(message: bytes) -> None:
    """Check that a serialized CameraInfo is complete.

    The middleware's own reading writes a line on standard error for each that does not, and reads
    behind the end of one that ends in a matrix (rosidl_python#223).

    Raises:
        ImageError: it is cut short, or not CDR.
    """
    reader = CdrReader(message)
    reader.header()
    _height, _width, length = reader.numbers("III")
    reader.text(length)
    (count,) = reader.numbers("I")
    if count:
        reader.skip("d", count)
    reader.skip("d", 9 + 9 + 12)  # K, R, P
    reader.skip("I", 2 + 4)  # binning and region of interest
    reader.skip("B", 1)


def is_rectified(topic: str, rectified: str) -> bool:
    """Tell whether the images on a topic are rectified.

    Args:
        topic: its full name.
        rectified: the parameter of this name: yes, no, or auto, by the topic's name.
    """
    if rectified != "auto":
        return rectified == "yes"
    return re.search(r"/image_rect[^/]*$", base_topic(topic)) is not None


class _PlainLoader(yaml.SafeLoader):
    """Reads YAML without aliases: a few lines of them unpack to more than a machine holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """See yaml.composer.Composer."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"line {self.peek_event().start_mark.line + 1} has an alias")
        return super().compose_node(parent, index)


def read_calibration(file: str) -> FileCalibration:
    """Read a calibration as camera_calibration writes it (camera_calibration_parsers, YAML).

    Args:
        file: see `user_files.path_of`.

    Raises:
        ParameterError: the file cannot be read, or is not a calibration.
    """
    try:
        content = yaml.load(read_small_file(file), _PlainLoader)
        return FileCalibration(
            width=_size(content["image_width"]),
            height=_size(content["image_height"]),
            distortion_model=_name(content["distortion_model"]),
            d=_numbers(content["distortion_coefficients"]),
            k=_numbers(content["camera_matrix"], 9),
            r=_numbers(content.get("rectification_matrix", IDENTITY), 9),
            p=_numbers(content["projection_matrix"], 12),
        )
    except OSError as error:
        raise ParameterError(
            f"calibration_file is {file!r}, which cannot be read: {error.strerror or error}"
        ) from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ParameterError(
            f"calibration_file is {file!r}, which is not a calibration of camera_calibration "
            f"({type(error).__name__}: {reprlib.repr(str(error))}): it holds image_width, "
            "image_height, camera_matrix, distortion_model, distortion_coefficients and "
            "projection_matrix"
        ) from error


def _size(pixels: object) -> int:
    if not isinstance(pixels, int) or not 0 < pixels < 2**31:
        raise ValueError(f"a size is {reprlib.repr(pixels)}")
    return pixels


def _name(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"distortion_model is {reprlib.repr(text)}")
    return text


def _numbers(matrix: Mapping[str, Sequence[float]], count: int | None = None) -> list[float]:
    numbers = [float(number) for number in matrix["data"]]
    if count is not None and len(numbers) != count:
        raise ValueError(f"a matrix has {counted(len(numbers), 'number')} where it needs {count}")
    return numbers
