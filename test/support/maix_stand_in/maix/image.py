"""Images, and what can be done with them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ._native import NativeEnum, opencv_errors, whole
from .err import Err, failure

Pixels = npt.NDArray[np.uint8]


class Format(NativeEnum):
    """How an image's pixels lie in memory."""

    FMT_RGB888 = 0
    FMT_BGR888 = 1
    FMT_RGBA8888 = 2
    FMT_BGRA8888 = 3
    FMT_RGB565 = 4
    FMT_BGR565 = 5
    FMT_YUV422SP = 6
    FMT_YUV422P = 7
    FMT_YVU420SP = 8
    FMT_YUV420SP = 9
    FMT_YVU420P = 10
    FMT_YUV420P = 11
    FMT_GRAYSCALE = 12
    FMT_BGGR6 = 13
    FMT_GBRG6 = 14
    FMT_GRBG6 = 15
    FMT_RGGB6 = 16
    FMT_BGGR8 = 17
    FMT_GBRG8 = 18
    FMT_GRBG8 = 19
    FMT_RGGB8 = 20
    FMT_BGGR10 = 21
    FMT_GBRG10 = 22
    FMT_GRBG10 = 23
    FMT_RGGB10 = 24
    FMT_BGGR12 = 25
    FMT_GBRG12 = 26
    FMT_GRBG12 = 27
    FMT_RGGB12 = 28
    FMT_UNCOMPRESSED_MAX = 29
    FMT_COMPRESSED_MIN = 30
    FMT_JPEG = 31
    FMT_PNG = 32
    FMT_COMPRESSED_MAX = 33
    FMT_INVALID = 0xFF


class Fit(NativeEnum):
    """What becomes of an image that is brought to a size of another aspect."""

    FIT_NONE = -1
    FIT_FILL = 0
    FIT_CONTAIN = 1
    FIT_COVER = 2
    FIT_MAX = 3


class ResizeMethod(NativeEnum):
    """How pixels are found in between; the numbers are OpenCV's."""

    NEAREST = 0
    BILINEAR = 1
    BICUBIC = 2
    AREA = 3
    LANCZOS = 4
    HAMMING = 5
    RESIZE_METHOD_MAX = 6


FMT_RGB888 = Format.FMT_RGB888
FMT_BGR888 = Format.FMT_BGR888
FMT_RGBA8888 = Format.FMT_RGBA8888
FMT_BGRA8888 = Format.FMT_BGRA8888
FMT_RGB565 = Format.FMT_RGB565
FMT_BGR565 = Format.FMT_BGR565
FMT_YUV422SP = Format.FMT_YUV422SP
FMT_YUV422P = Format.FMT_YUV422P
FMT_YVU420SP = Format.FMT_YVU420SP
FMT_YUV420SP = Format.FMT_YUV420SP
FMT_YVU420P = Format.FMT_YVU420P
FMT_YUV420P = Format.FMT_YUV420P
FMT_GRAYSCALE = Format.FMT_GRAYSCALE
FMT_BGGR6 = Format.FMT_BGGR6
FMT_GBRG6 = Format.FMT_GBRG6
FMT_GRBG6 = Format.FMT_GRBG6
FMT_RGGB6 = Format.FMT_RGGB6
FMT_BGGR8 = Format.FMT_BGGR8
FMT_GBRG8 = Format.FMT_GBRG8
FMT_GRBG8 = Format.FMT_GRBG8
FMT_RGGB8 = Format.FMT_RGGB8
FMT_BGGR10 = Format.FMT_BGGR10
FMT_GBRG10 = Format.FMT_GBRG10
FMT_GRBG10 = Format.FMT_GRBG10
FMT_RGGB10 = Format.FMT_RGGB10
FMT_BGGR12 = Format.FMT_BGGR12
FMT_GBRG12 = Format.FMT_GBRG12
FMT_GRBG12 = Format.FMT_GRBG12
FMT_RGGB12 = Format.FMT_RGGB12
FMT_UNCOMPRESSED_MAX = Format.FMT_UNCOMPRESSED_MAX
FMT_COMPRESSED_MIN = Format.FMT_COMPRESSED_MIN
FMT_JPEG = Format.FMT_JPEG
FMT_PNG = Format.FMT_PNG
FMT_COMPRESSED_MAX = Format.FMT_COMPRESSED_MAX
FMT_INVALID = Format.FMT_INVALID
FIT_NONE = Fit.FIT_NONE
FIT_FILL = Fit.FIT_FILL
FIT_CONTAIN = Fit.FIT_CONTAIN
FIT_COVER = Fit.FIT_COVER


#: Channels of the formats that can be drawn into.
_CHANNELS = {
    Format.FMT_RGB888: 3,
    Format.FMT_BGR888: 3,
    Format.FMT_RGBA8888: 4,
    Format.FMT_BGRA8888: 4,
    Format.FMT_GRAYSCALE: 1,
}
_COMPRESSED = {Format.FMT_JPEG: ".jpg", Format.FMT_PNG: ".png"}
#: OpenCV's conversions of each format into RGB and out of it; RGB itself needs none.
_TO_RGB = {
    Format.FMT_BGR888: cv2.COLOR_BGR2RGB,
    Format.FMT_RGBA8888: cv2.COLOR_RGBA2RGB,
    Format.FMT_BGRA8888: cv2.COLOR_BGRA2RGB,
    Format.FMT_GRAYSCALE: cv2.COLOR_GRAY2RGB,
    Format.FMT_YVU420SP: cv2.COLOR_YUV2RGB_NV21,
}
_FROM_RGB = {
    Format.FMT_BGR888: cv2.COLOR_RGB2BGR,
    Format.FMT_RGBA8888: cv2.COLOR_RGB2RGBA,
    Format.FMT_BGRA8888: cv2.COLOR_RGB2BGRA,
    Format.FMT_GRAYSCALE: cv2.COLOR_RGB2GRAY,
}


class Size:
    """Width and height."""

    def __init__(self, width: int = 0, height: int = 0) -> None:
        self._sides = [whole(width), whole(height)]

    def width(self, width: int = -1) -> int:
        """Set the width unless it is -1; return it."""
        if width != -1:
            self._sides[0] = whole(width)
        return self._sides[0]

    def height(self, height: int = -1) -> int:
        """Set the height unless it is -1; return it."""
        if height != -1:
            self._sides[1] = whole(height)
        return self._sides[1]

    def __getitem__(self, index: int) -> int:
        if index not in (0, 1):
            raise IndexError("Size index out of range")
        return self._sides[index]


class Color:
    """A color; its channels come in the order of the format."""

    def __init__(
        self,
        ch1: int,
        ch2: int = 0,
        ch3: int = 0,
        alpha: float = 0,
        format: Format = Format.FMT_GRAYSCALE,  # noqa: A002
    ) -> None:
        if not 0 <= alpha <= 1:
            raise RuntimeError("alpha value range: 0 ~ 1")
        first, second, third = (whole(channel) for channel in (ch1, ch2, ch3))
        if not all(0 <= channel <= 255 for channel in (first, second, third)):
            raise TypeError("incompatible function arguments: a channel is 0 to 255")
        self.format = format
        opaque = format in (Format.FMT_RGB888, Format.FMT_BGR888, Format.FMT_GRAYSCALE)
        self.alpha = 1.0 if opaque else alpha
        if format == Format.FMT_GRAYSCALE:
            second = third = first
        if format in (Format.FMT_BGR888, Format.FMT_BGRA8888):
            first, third = third, first
        self.r, self.g, self.b = first, second, third
        self.gray = (first + second + third) // 3

    @staticmethod
    def from_rgb(r: int, g: int, b: int) -> Color:
        """Return the color."""
        return Color(r, g, b, 1, Format.FMT_RGB888)

    @staticmethod
    def from_bgr(b: int, g: int, r: int) -> Color:
        """Return the color."""
        return Color(b, g, r, 1, Format.FMT_BGR888)

    @staticmethod
    def from_gray(gray: int) -> Color:
        """Return the color."""
        return Color(gray)

    @staticmethod
    def from_rgba(r: int, g: int, b: int, alpha: float) -> Color:
        """Return the color."""
        return Color(r, g, b, alpha, Format.FMT_RGBA8888)


COLOR_WHITE = Color.from_rgb(255, 255, 255)
COLOR_BLACK = Color.from_rgb(0, 0, 0)
COLOR_RED = Color.from_rgb(255, 0, 0)
COLOR_GREEN = Color.from_rgb(0, 255, 0)
COLOR_BLUE = Color.from_rgb(0, 0, 255)
COLOR_YELLOW = Color.from_rgb(255, 255, 0)
COLOR_PURPLE = Color.from_rgb(143, 0, 255)
COLOR_ORANGE = Color.from_rgb(255, 127, 0)
COLOR_GRAY = Color.from_rgb(127, 127, 127)
COLOR_INVALID = Color(0, 0, 0, 0, Format.FMT_INVALID)


class Image:
    """An image in memory."""

    def __init__(
        self,
        width: int,
        height: int,
        format: Format = Format.FMT_RGB888,  # noqa: A002
        bg: Color = COLOR_INVALID,
    ) -> None:
        self._width, self._height, self._format = whole(width), whole(height), format
        self._data: Pixels = np.zeros(_size(self._width, self._height, format), np.uint8)
        if bg.format != Format.FMT_INVALID:
            _pixels(self)[...] = _scalar(self, bg)

    def width(self) -> int:
        """Return pixels."""
        return self._width

    def height(self) -> int:
        """Return pixels."""
        return self._height

    def format(self) -> Format:
        """Return how the pixels lie in memory."""
        return self._format

    def data_size(self) -> int:
        """Return bytes."""
        return self._data.size

    def to_bytes(self, copy: bool = True) -> bytes:  # noqa: ARG002  the real one always copies
        """Return what lies in memory."""
        return self._data.tobytes()

    def to_format(self, format: Format) -> Image:  # noqa: A002
        """Return a copy in another format."""
        if format == self._format:
            return _image(self._width, self._height, format, self._data.copy())
        if format in _COMPRESSED:
            return _compressed(self, format, [])
        return _in_format(_rgb(self), format)

    def to_jpeg(self, quality: int = 95, buff: Any = None, buff_size: int = 0) -> Image:
        """Return an image of `FMT_JPEG`; a MaixCAM takes any quality as 51 to 99."""
        if buff is not None or buff_size:
            raise NotImplementedError("the stand-in has no buffers")
        quality = min(max(whole(quality), 51), 99)
        return _compressed(self, Format.FMT_JPEG, [cv2.IMWRITE_JPEG_QUALITY, quality])

    def resize(
        self,
        width: int,
        height: int,
        fit: Fit = Fit.FIT_FILL,
        method: ResizeMethod = ResizeMethod.NEAREST,
    ) -> Image:
        """Return the image in another size; one of the sides may be -1, to keep the aspect."""
        if self._format not in _CHANNELS:
            raise RuntimeError("image resize: not support format")
        if width == -1:
            width = height * self._width // self._height
        elif height == -1:
            height = width * self._height // self._width
        across, down = width / self._width, height / self._height
        interpolation = int(method)
        source, result = _pixels(self), Image(width, height, self._format)
        target = _pixels(result)
        with opencv_errors():
            if fit == Fit.FIT_FILL:
                size = (width, height)
                target[...] = _deep(cv2.resize(source, size, interpolation=interpolation))
            elif fit in (Fit.FIT_CONTAIN, Fit.FIT_COVER):
                scale = float(np.float32((min if fit == Fit.FIT_CONTAIN else max)(across, down)))
                scaled = _deep(
                    cv2.resize(source, None, fx=scale, fy=scale, interpolation=interpolation)
                )
                (target_rows, rows), (target_columns, columns) = (
                    _middles(width_or_height, scaled.shape[axis])
                    for axis, width_or_height in enumerate((height, width))
                )
                target[target_rows, target_columns] = scaled[rows, columns]
            else:
                raise RuntimeError("not support object fit")
        return result

    def draw_circle(self, x: int, y: int, radius: int, color: Color, thickness: int = 1) -> Image:
        """Draw a circle, filled if its thickness is -1."""
        center = (whole(x), whole(y))
        with opencv_errors():
            cv2.circle(_pixels(self), center, whole(radius), _scalar(self, color), whole(thickness))
        return self

    def draw_rect(self, x: int, y: int, w: int, h: int, color: Color, thickness: int = 1) -> Image:
        """Draw a rectangle, filled if its thickness is -1."""
        box = (whole(x), whole(y), whole(w), whole(h))
        with opencv_errors():
            cv2.rectangle(_pixels(self), box, _scalar(self, color), whole(thickness))
        return self

    def draw_string(
        self,
        x: int,
        y: int,
        textstring: str,
        color: Color = COLOR_WHITE,
        scale: float = 1,
        thickness: int = -1,
        wrap: bool = True,  # noqa: ARG002
        wrap_space: int = 4,  # noqa: ARG002
        font: str = "",  # noqa: ARG002
    ) -> Image:
        """Write text, its left top corner at x, y; about as the real one, and never wrapped."""
        face, width = cv2.FONT_HERSHEY_PLAIN, max(1, whole(thickness))
        (_, height), _ = cv2.getTextSize(textstring, face, scale, width)
        foot = (whole(x), whole(y) + height)
        with opencv_errors():
            cv2.putText(_pixels(self), textstring, foot, face, scale, _scalar(self, color), width)
        return self


def image2cv(img: Image, ensure_bgr: bool = True, copy: bool = True) -> Pixels:
    """Return the pixels as (height, width, channels).

    Args:
        img: of YVU420SP, only the luma is given.
        ensure_bgr: convert to BGR; only with `copy`.
        copy: False: the pixels of the image itself, which live as long as the result.
    """
    is_bgr = img.format() in (Format.FMT_BGR888, Format.FMT_BGRA8888)
    if copy and ensure_bgr and not is_bgr:
        has_alpha = img.format() == Format.FMT_RGBA8888
        source = img.to_format(Format.FMT_BGRA8888 if has_alpha else Format.FMT_BGR888)
    elif copy:
        source = img.to_format(img.format())
    else:
        source = img
    # The real one takes the channels from before the conversion: a gray image comes out wrong.
    channels = _CHANNELS.get(img.format(), 1)
    size = img.height() * img.width() * channels
    return source._data[:size].reshape(img.height(), img.width(), channels)


def cv2image(array: Pixels, bgr: bool = True, copy: bool = True) -> Image:
    """Return an image of uint8 pixels (height, width) or (height, width, 1, 3 or 4).

    Args:
        array: the pixels.
        bgr: what their order is called; nothing is converted.
        copy: False: the image has its pixels in this array, which must live as long as it does.
    """
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise TypeError("incompatible function arguments: array is not a numpy array of uint8")
    if array.ndim not in (2, 3):
        raise RuntimeError("Number of dimensions must be 3")
    channels = 1 if array.ndim == 2 else array.shape[2]
    formats = {
        1: Format.FMT_GRAYSCALE,
        3: Format.FMT_BGR888 if bgr else Format.FMT_RGB888,
        4: Format.FMT_BGRA8888 if bgr else Format.FMT_RGBA8888,
    }
    if channels not in formats:
        raise RuntimeError("Number of channels must be 3 or 4")
    height, width = array.shape[:2]
    # pybind11 makes a contiguous copy if the array has gaps, and then nothing is shared.
    data = np.ascontiguousarray(array).reshape(-1)
    return _image(width, height, formats[channels], data.copy() if copy else data)


def from_bytes(
    width: int,
    height: int,
    format: Format,  # noqa: A002
    data: bytes,
    copy: bool = True,  # noqa: ARG001
) -> Image:
    """Return an image of what lay in another one's memory."""
    if type(data) is not bytes:
        raise TypeError("incompatible function arguments: data is not bytes")
    if format not in _COMPRESSED and len(data) != _size(whole(width), whole(height), format):
        raise failure("data size not match", Err.ERR_ARGS)
    return _image(whole(width), whole(height), format, np.frombuffer(data, np.uint8).copy())


def load(path: str, format: Format = Format.FMT_RGB888) -> Image | None:  # noqa: A002
    """Return the image of a file, or None if it cannot be read."""
    pixels = cv2.imread(path)
    if pixels is None:
        return None
    return cv2image(np.asarray(pixels, np.uint8)).to_format(format)


def _image(width: int, height: int, format: Format, data: Pixels) -> Image:  # noqa: A002
    made = Image(0, 0, format)
    made._width, made._height, made._data = width, height, data
    return made


def _size(width: int, height: int, format: Format) -> int:  # noqa: A002
    if format == Format.FMT_YVU420SP:
        return width * height * 3 // 2
    if format in _COMPRESSED or width * height == 0:
        return 0
    if format not in _CHANNELS:
        raise NotImplementedError(f"the stand-in has no images of {format}")
    return width * height * _CHANNELS[format]


def _pixels(img: Image) -> Pixels:
    """Return the pixels as (height, width, channels), to be read and changed."""
    if img.format() not in _CHANNELS:
        raise RuntimeError("not support format")
    return img._data.reshape(img.height(), img.width(), _CHANNELS[img.format()])


def _deep(pixels: Any) -> Pixels:
    """Return pixels with the axis for channels that OpenCV drops if there is only one."""
    return np.asarray(pixels, np.uint8).reshape(pixels.shape[0], pixels.shape[1], -1)


def _middles(target: int, source: int) -> tuple[slice, slice]:
    """Return where the middles of two lengths cover each other, in the one and in the other."""
    length = min(target, source)
    start, source_start = (target - length) // 2, (source - length) // 2
    return slice(start, start + length), slice(source_start, source_start + length)


def _scalar(img: Image, color: Color) -> tuple[float, ...]:
    """Return the color in the order of the image's channels."""
    alpha = color.alpha * 255
    scalars: dict[Format, tuple[float, ...]] = {
        Format.FMT_RGB888: (color.r, color.g, color.b),
        Format.FMT_BGR888: (color.b, color.g, color.r),
        Format.FMT_RGBA8888: (color.r, color.g, color.b, alpha),
        Format.FMT_BGRA8888: (color.b, color.g, color.r, alpha),
        Format.FMT_GRAYSCALE: (color.gray,),
    }
    if img.format() not in scalars:
        raise RuntimeError("not support format")
    return scalars[img.format()]


def _rgb(img: Image) -> Pixels:
    """Return an image of any format as RGB pixels (height, width, 3)."""
    if img.format() in _COMPRESSED:
        decoded = cv2.imdecode(img._data, cv2.IMREAD_COLOR)
        if decoded is None:
            raise failure("convert format failed, see log", Err.ERR_RUNTIME)
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
    if img.format() == Format.FMT_RGB888:
        return _pixels(img)
    if img.format() == Format.FMT_YVU420SP:
        rows: Pixels = img._data.reshape(img.height() * 3 // 2, img.width())
    else:
        rows = _pixels(img)
    return np.asarray(cv2.cvtColor(rows, _TO_RGB[img.format()]), np.uint8)


def _in_format(rgb: Pixels, format: Format) -> Image:  # noqa: A002
    """Return an image in an uncompressed format."""
    height, width = rgb.shape[:2]
    if format == Format.FMT_RGB888:
        return _image(width, height, format, np.ascontiguousarray(rgb).reshape(-1).copy())
    if format == Format.FMT_YVU420SP:
        planes = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_YV12), np.uint8).reshape(-1)
        luma, chroma = planes[: width * height], planes[width * height :].reshape(2, -1)
        # NV21: V and U of each pixel side by side.
        return _image(width, height, format, np.concatenate([luma, chroma.T.reshape(-1)]))
    if format not in _FROM_RGB:
        raise NotImplementedError(f"the stand-in has no images of {format}")
    converted = np.asarray(cv2.cvtColor(rgb, _FROM_RGB[format]), np.uint8)
    return _image(width, height, format, converted.reshape(-1))


def _compressed(img: Image, format: Format, options: list[int]) -> Image:  # noqa: A002
    bgr = cv2.cvtColor(_rgb(img), cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode(_COMPRESSED[format], bgr, options)
    if not written:
        raise failure("convert format failed, see log", Err.ERR_RUNTIME)
    return _image(img.width(), img.height(), format, np.asarray(data, np.uint8).reshape(-1))
