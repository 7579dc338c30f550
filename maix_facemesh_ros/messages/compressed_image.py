"""Untrusted JPEG and PNG files: checked first, then decoded.

A few hundred bytes can declare gigabytes, and a few kilobytes can occupy a decoder for minutes.
Therefore each length in a file is checked against the available bytes, and its size and scans
against limits, before OpenCV decodes it. Every JPEG and PNG in this package is decoded here.

The result does not depend on OpenCV's version: a complete image without its end marker is used, a
truncated JPEG or PNG is refused.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.image import ImageError, Levels, Pixels
from maix_facemesh_ros.messages import decoder_warnings
from maix_facemesh_ros.messages.levels import levels_of, to_8_bits
from maix_facemesh_ros.wording import counted

#: `format` of the CompressedImages of this package, as compressed_image_transport writes it, and
#: the quality of their JPEG, 1 to 100.
JPEG_FORMAT = "rgb8; jpeg compressed bgr8"
JPEG_QUALITY = 80

#: Pixels of a compressed image at most: more than any camera has, and 200 MB when decoded.
LARGEST_COMPRESSED = 64_000_000

#: Scans of a JPEG at most, and scans times pixels: each scan of a progressive JPEG takes a decoder
#: some 2 ns for each pixel, even an empty one of 150 bytes. Encoders make up to some 20 scans.
MOST_SCANS = 100
MOST_SCANNED_PIXELS = 10 * LARGEST_COMPRESSED

#: Bytes that an image may take, or its file's bytes times a factor where that is more. A file of
#: 1 MB can declare an image of 64 million pixels; a photo of that size is far larger.
MOST_MEMORY = 360_000_000
MOST_MEMORY_OF_FILE = 100

#: Bytes for each pixel that `facemesh_bag --annotated` takes, the most of all programs (measured
#: with OpenCV 4.14): for 8 and 16 bits, and for a JPEG in several scans, whose coefficients are
#: kept for each channel.
_MEMORY = {8: 9.5, 16: 19.0}
_SCANS_MEMORY, _COEFFICIENT = 6.5, 2.0

#: Segments of a JPEG and chunks of a PNG at most; libpng writes a chunk for each 8 kB of pixels.
MOST_SEGMENTS = 10_000
MOST_CHUNKS = 100_000

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"

#: Chunks of a PNG with its pixels and orientation. All others are removed before decoding: texts
#: and color profiles unpack to up to 8 MB each, and animations depend on OpenCV's version.
_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})
_PNG_END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", 0xAE426082)

#: Markers of a JPEG (ITU-T T.81, table B.1).
_SOF_BASELINE, _SOF_EXTENDED, _SOF_PROGRESSIVE = 0xC0, 0xC1, 0xC2
_SOS, _EOI = 0xDA, 0xD9
#: SOF0 to SOF15, without the three in between that mean something else.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FRAMES_DECODED = {_SOF_BASELINE, _SOF_EXTENDED, _SOF_PROGRESSIVE}
#: Markers that no segment with a length follows: TEM, RST0 to RST7, SOI.
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})

#: The marker that ends a scan's coded data: no stuffed 0, no restart, no filling byte.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")

#: Bytes that replace the missing end of a truncated scan.
_NOISE = bytes((151 * n * n + 7 * n + 90) % 251 for n in range(64))

_COEFFICIENTS = frozenset(range(64))


class CompressedFile(NamedTuple):
    """A JPEG or PNG whose own lengths have been checked: a whole file of a known size."""

    #: "JPEG" or "PNG".
    kind: str
    #: Pixels, as the file declares them.
    width: int
    height: int
    #: The file, without bytes after its end.
    data: memoryview
    #: 8 or 16.
    bits: int = 8
    #: The end marker is missing, all before it may be there.
    open_end: bool = False
    #: A JPEG of several scans, of which each makes the whole image better.
    progressive: bool = False
    #: A PNG with chunks that do not belong to its pixels.
    has_extras: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height


class DecodedImage(NamedTuple):
    """The pixels of a JPEG or PNG."""

    #: uint8 (height, width, 3): blue, green, red.
    pixels: Pixels
    #: Of a 16-bit PNG: which of its values have become black and white.
    levels: Levels | None


def check_compressed(data: bytes | memoryview) -> CompressedFile:
    """Walk over all lengths in a JPEG or PNG; nothing is decoded.

    Raises:
        ImageError: neither JPEG nor PNG, cut short, too large, or of a kind that OpenCV's
            versions do not decode alike.
    """
    view = memoryview(data).cast("B")
    try:
        if view[:8] == _PNG:
            file = _walk_png(view)
        elif view[:2] == _JPEG:
            file = _JpegWalk(view).file()
        else:
            raise ImageError("known are JPEG and PNG")
    except struct.error:
        raise ImageError("it is cut short, inside a header") from None
    if file.width * file.height == 0:
        raise ImageError(f"it declares an image of {file.width}x{file.height}, without pixels")
    return file


def check_jpeg(data: bytes, size: tuple[int, int]) -> CompressedFile:
    """Check a JPEG of which the size is known.

    Args:
        data: the file.
        size: width and height in pixels that were announced for it.

    Raises:
        ImageError: not a JPEG, of another size, or see `check_compressed`.
    """
    file = check_compressed(data)
    if file.kind != "JPEG" or file.size != size:
        raise ImageError(
            f"it is a {file.kind} of {file.width}x{file.height} where a JPEG of "
            f"{size[0]}x{size[1]} was announced"
        )
    return file


def decode_compressed(file: CompressedFile, *, follow_orientation: bool = False) -> DecodedImage:
    """Decode the checked file.

    Args:
        file: from `check_compressed`.
        follow_orientation: rotate the image by the camera's orientation tag.

    Raises:
        ImageError: it is damaged, or cut short where only the decoder can see it.
    """
    flags = cv2.IMREAD_COLOR
    if not follow_orientation:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    if file.kind == "PNG" and file.bits > 8:
        flags |= cv2.IMREAD_ANYDEPTH
    return _decoded(_pixels_of(file, flags))


def decode_unchanged(file: CompressedFile) -> npt.NDArray[Any] | None:
    """Decode the checked file with its own channels and bits; None if it is damaged.

    Raises:
        ImageError: it is damaged, or cut short where only the decoder can see it.
    """
    return _pixels_of(file, cv2.IMREAD_UNCHANGED)


def _pixels_of(file: CompressedFile, flags: int) -> npt.NDArray[Any] | None:
    if file.kind == "PNG":
        return _opencv_decode(_only_pixel_chunks(file), flags)
    if file.open_end:
        return _decode_open_jpeg(file.data, flags, progressive=file.progressive)
    return _opencv_decode(file.data, flags)


def encode_jpeg(bgr: Pixels, quality: int = JPEG_QUALITY) -> bytes:
    """Return uint8 (H, W, 3) pixels, blue, green, red, as JPEG.

    Args:
        bgr: only read.
        quality: 1 to 100.
    """
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def read_image_file(path: Path) -> DecodedImage:
    """Read an image file: JPEG and PNG as above, other formats as OpenCV reads them.

    The camera's orientation tag is applied, as in every viewer.

    Raises:
        ImageError: it cannot be read, or is not an image.
    """
    try:
        with path.open("rb") as stream:
            is_walked = stream.read(len(_PNG)).startswith((_PNG, _JPEG))
            stream.seek(0)
            data = stream.read() if is_walked else b""
    except OSError as error:
        raise ImageError(f"{path.name} cannot be read: {error.strerror}") from error
    try:
        if is_walked:
            return decode_compressed(check_compressed(data), follow_orientation=True)
        return _decoded(cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH))
    except ImageError as error:
        raise ImageError(f"{path.name} is damaged: {error}") from error
    except cv2.error as error:  # such as more pixels than OpenCV takes
        raise ImageError(f"{path.name} cannot be read: {error.err}") from error


def _decoded(pixels: npt.NDArray[Any] | None) -> DecodedImage:
    if pixels is None:
        raise ImageError("OpenCV cannot decode it")
    if pixels.dtype == np.uint16:
        levels = levels_of(pixels)
        return DecodedImage(to_8_bits(pixels, levels), levels)
    if pixels.dtype != np.uint8:
        raise ImageError(f"its values are {pixels.dtype}: known are 8 and 16 bits")
    return DecodedImage(np.asarray(pixels, np.uint8), None)


def _opencv_decode(data: bytes | memoryview, flags: int) -> npt.NDArray[Any] | None:
    try:
        with decoder_warnings.limited():
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"OpenCV cannot decode it: {error.err}") from error


# ---- PNG (https://www.w3.org/TR/png-3/, 5: datastream structure) ---------------------------------


def _walk_png(view: memoryview) -> CompressedFile:
    """Walk from chunk to chunk up to IEND.

    Raises:
        ImageError: a chunk is longer than the data, or the file is too large.
        struct.error: the data ends in a chunk's first bytes.
    """
    length, name, width, height, bits = struct.unpack_from(">I4sIIB", view, len(_PNG))
    if (length, name) != (13, b"IHDR"):
        raise ImageError("it is a PNG that does not begin with its size")
    _check_pixels(len(view), width, height)
    _check_memory(len(view), width, height, _MEMORY[16 if bits > 8 else 8])
    at, pixels_come, has_extras = len(_PNG), False, False
    for _ in range(MOST_CHUNKS):
        if pixels_come and len(view) - at < 12 and _PNG_END.startswith(bytes(view[at:])):
            return CompressedFile(
                "PNG", width, height, view, bits, open_end=True, has_extras=has_extras
            )
        length, name = struct.unpack_from(">I4s", view, at)
        end = at + 12 + length
        if end > len(view):
            raise ImageError(
                f"it is cut short: a part of {length} bytes begins at byte {at} of {len(view)}"
            )
        if name in _PIXEL_CHUNKS and (
            int.from_bytes(view[end - 4 : end], "big") != zlib.crc32(view[at + 4 : end - 4])
        ):
            raise ImageError(f"it is damaged in the part of {length} bytes at byte {at}")
        if name == b"IEND":
            return CompressedFile("PNG", width, height, view[:end], bits, has_extras=has_extras)
        pixels_come = pixels_come or name == b"IDAT"
        has_extras = has_extras or name not in _PIXEL_CHUNKS
        at = end
    raise ImageError(f"it is a PNG of more than {MOST_CHUNKS} parts")


def _only_pixel_chunks(file: CompressedFile) -> bytes | memoryview:
    """Return a PNG without the chunks that do not belong to its pixels, and with its end."""
    if not file.open_end and not file.has_extras:
        return file.data
    view, at, parts = file.data, len(_PNG), [memoryview(_PNG)]
    while len(view) - at >= 12:
        length, name = struct.unpack_from(">I4s", view, at)
        if name in _PIXEL_CHUNKS and name != b"IEND":
            parts.append(view[at : at + 12 + length])
        at += 12 + length
    return b"".join((*parts, _PNG_END))


# ---- JPEG (ITU-T T.81, annex B) ------------------------------------------------------------------


class _JpegWalk:
    """Walks from segment to segment, and over each scan's coded data, up to EOI."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = len(_JPEG)
        self._size = (0, 0)
        self._progressive = False
        self._scans = 0
        #: By name of the component: its coefficients that have all their bits.
        self._complete: dict[int, set[int]] = {}

    def file(self) -> CompressedFile:
        """Return the bytes of the segments read so far.

        Raises:
            ImageError: a segment is longer than the data, or the file is too large.
            struct.error: the data ends in a segment's first bytes.
        """
        for _ in range(MOST_SEGMENTS):
            start, marker = struct.unpack_from(">BB", self._view, self._at)
            if start != 0xFF:
                raise ImageError(f"it is a JPEG without a marker at byte {self._at}")
            if marker == 0xFF:  # a filling byte in front of a marker
                self._at += 1
            elif marker in _BARE:
                self._at += 2
            elif marker == _EOI:
                return self._whole(self._at + 2, open_end=False)
            elif self._segment(marker):
                return self._whole(len(self._view), open_end=True)
        raise ImageError(f"it is a JPEG of more than {MOST_SEGMENTS} parts")

    def _whole(self, end: int, *, open_end: bool) -> CompressedFile:
        width, height = self._size
        if not self._scans:
            raise ImageError("it is a JPEG without pixels")
        memory = _MEMORY[8]
        if self._progressive or self._scans > 1:
            memory = max(memory, _SCANS_MEMORY + _COEFFICIENT * len(self._complete))
        _check_memory(len(self._view), width, height, memory)
        return CompressedFile(
            "JPEG",
            width,
            height,
            self._view[:end],
            open_end=open_end,
            progressive=self._progressive,
        )

    def _segment(self, marker: int) -> bool:
        """Skip a segment, with the data of a scan; returns whether the file ends with it."""
        (length,) = struct.unpack_from(">H", self._view, self._at + 2)
        start, end = self._at + 4, self._at + 2 + length
        if length < 2 or end > len(self._view):
            raise ImageError(
                f"it is cut short: a part of {length} bytes begins at byte {self._at} of "
                f"{len(self._view)}"
            )
        segment, self._at = self._view[start:end], end
        if marker in _FRAMES:
            self._frame(marker, segment)
        if marker != _SOS:
            return False
        self._scan(segment)
        after = _AFTER_SCAN.search(self._view, self._at)
        if after is None:
            self._check_complete()
            return True
        self._at = after.start()
        return False

    def _frame(self, marker: int, segment: memoryview) -> None:
        if marker not in _FRAMES_DECODED:
            raise ImageError(
                f"it is a JPEG of kind SOF{marker - 0xC0} (lossless, hierarchical or arithmetic): "
                "known are baseline and progressive JPEGs"
            )
        bits, height, width, count = struct.unpack_from(">BHHB", segment)
        if self._complete:
            raise ImageError("it is a JPEG with two frames")
        if bits != 8:
            raise ImageError(f"it is a JPEG of {bits} bits a channel: known are 8")
        if not 1 <= count <= 4 or len(segment) != 6 + 3 * count:
            raise ImageError(f"it is a JPEG of {counted(count, 'channel')} in {len(segment)} bytes")
        _check_pixels(len(self._view), width, height)
        self._size = (width, height)
        self._progressive = marker == _SOF_PROGRESSIVE
        self._complete = {segment[6 + 3 * n]: set() for n in range(count)}

    def _scan(self, segment: memoryview) -> None:
        """Count a scan, and record the coefficients that it completes."""
        width, height = self._size
        self._scans += 1
        if self._scans > MOST_SCANS or self._scans * width * height > MOST_SCANNED_PIXELS:
            raise ImageError(
                f"it is a JPEG of {width}x{height} with {self._scans} or more scans: decoded are "
                f"{MOST_SCANS}, and {MOST_SCANNED_PIXELS // 10**6} million pixels in all scans"
            )
        count = segment[0] if len(segment) else 0
        if not 1 <= count <= 4 or len(segment) != 4 + 2 * count:
            raise ImageError(f"it is a JPEG with a scan of {counted(count, 'channel')}")
        first, last, precision = segment[1 + 2 * count :]
        if not self._progressive:
            found = set(_COEFFICIENTS)
        elif precision & 0xF == 0:
            found = set(range(first, min(last, 63) + 1))
        else:  # Its last bits are those of a later scan.
            found = set()
        for name in segment[1 : 1 + 2 * count : 2]:
            if name not in self._complete:
                raise ImageError("it is a JPEG with a scan of a channel that it does not have")
            self._complete[name] |= found

    def _check_complete(self) -> None:
        if any(found != _COEFFICIENTS for found in self._complete.values()):
            raise ImageError("it is a JPEG that is cut short: scans are missing")


def _decode_open_jpeg(data: memoryview, flags: int, *, progressive: bool) -> npt.NDArray[Any]:
    """Decode a JPEG without its end marker.

    OpenCV's result for missing rows of such a JPEG depends on its version: gray, black, or nothing.
    With an appended end marker all versions decode it, and missing blocks have one color. If the
    last block has one color, the file is decoded a second time with noise before the end marker,
    also where the decoder may wait for one of the eight restart markers: the noise is not read if
    all rows are complete. (Not for every file, because libjpeg then writes a line to standard
    error.)

    Raises:
        ImageError: more is missing than the end of the last block.
    """
    coded = bytes(data).rstrip(b"\xff")
    pixels = _opencv_decode(coded + _JPEG_END, flags)
    if pixels is not None and not progressive and np.ptp(pixels[-4:, -4:], axis=(0, 1)).any():
        return pixels
    restarts = _RESTART.findall(coded[-(1 << 20) :])
    last = restarts[-1][1] if restarts else 0xD7
    noise = [_NOISE]
    for number in range(1, 9):
        noise += [bytes((0xFF, 0xD0 + (last + number) % 8)), _NOISE]
    with_noise = _opencv_decode(b"".join((coded, *noise, _JPEG_END)), flags)
    if pixels is None or with_noise is None or not np.array_equal(pixels, with_noise):
        raise ImageError("it is a JPEG that is cut short: rows are missing")
    return pixels


def _check_pixels(length: int, width: int, height: int) -> None:
    if width * height > LARGEST_COMPRESSED:
        raise ImageError(
            f"{length} bytes declare an image of {width}x{height}: "
            f"{LARGEST_COMPRESSED} pixels are the most that is decoded"
        )


def _check_memory(length: int, width: int, height: int, bytes_per_pixel: float) -> None:
    needed = int(bytes_per_pixel * width * height)
    if needed > max(MOST_MEMORY, MOST_MEMORY_OF_FILE * length):
        raise ImageError(
            f"{length} bytes declare an image of {width}x{height}, which takes "
            f"{needed // 10**6} MB: the most is {MOST_MEMORY // 10**6} MB, or "
            f"{MOST_MEMORY_OF_FILE} times the file"
        )
