"""JPEG and PNG files as no camera writes them: they claim much, unpack to much, or take long."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import numpy.typing as npt

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_END = b"\xff\xd9"


def png_chunk(name: bytes, data: bytes, length: int | None = None) -> bytes:
    """Return a chunk; its length may be another than that of its data."""
    start = struct.pack(">I", len(data) if length is None else length)
    return start + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int,
    height: int,
    *extras: bytes,
    rows: bytes | None = None,
    bits: int = 8,
    end: bytes | None = None,
) -> bytes:
    """Return a gray PNG, all 0 unless `rows` are given, with extra chunks before its pixels."""
    if rows is None:
        rows = bytes((1 + width * bits // 8) * height)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(rows, 9))
    end = png_chunk(b"IEND", b"") if end is None else end
    return b"".join((PNG_START, header, *extras, pixels, end))


def unpacking_text(size: int) -> bytes:
    """Return a PNG's text chunk that unpacks to this number of bytes."""
    return png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(size), 9))


def unpacking_profile(size: int) -> bytes:
    """Return a PNG's color profile that unpacks to this number of bytes."""
    profile = struct.pack(">I", size) + bytes(size - 4)
    return png_chunk(b"iCCP", b"a\0\0" + zlib.compress(profile, 9))


def jpeg_segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def _coded(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    data = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    return data.replace(b"\xff", b"\xff\0")


def progressive_jpeg(width: int, height: int, empty_scans: int, frame: int = 0xC2) -> bytes:
    """Return a gray JPEG of one scan, and this number of scans that add nothing."""
    blocks = -(-width // 8) * -(-height // 8)
    # One code for "no change of brightness", one for "this number of blocks is empty".
    tables = jpeg_segment(0xC4, bytes((0x00, 1, *[0] * 15, 0x00)))
    tables += jpeg_segment(0xC4, bytes((0x10, 1, *[0] * 15, 0xE0)))
    first = jpeg_segment(0xDA, bytes((1, 1, 0, 0, 0, 0))) + _coded("0" * blocks)
    bits, left = "", blocks
    while left > 0:
        run = min(max(left, 1 << 14), (1 << 15) - 1)
        bits += "0" + format(run - (1 << 14), "014b")
        left -= run
    empty = jpeg_segment(0xDA, bytes((1, 1, 0, 1, 63, 0))) + _coded(bits)
    size = struct.pack(">BHHB", 8, height, width, 1) + bytes((1, 0x11, 0))
    return b"".join(
        (
            b"\xff\xd8",
            jpeg_segment(0xDB, bytes((0, *[1] * 64))),
            jpeg_segment(frame, size),
            tables,
            first,
            *[empty] * empty_scans,
            JPEG_END,
        )
    )


def encoded(image: npt.NDArray[np.integer], extension: str, *options: int) -> bytes:
    """Return an honest file, as OpenCV writes it."""
    return bytes(cv2.imencode(extension, image, options)[1].tobytes())
