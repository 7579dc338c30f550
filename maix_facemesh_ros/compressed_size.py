"""The size that a JPEG or PNG declares, read before anything is decoded.

A few kilobytes can declare gigabytes: the size is checked before memory is taken for it.
"""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"

#: Markers that begin a JPEG's frame and hold its size (ITU-T T.81, table B.1): SOF0 to SOF15,
#: without the three in between that mean something else.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def declared_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Return width and height in pixels; None for what is no JPEG or PNG, or cut short."""
    try:
        if bytes(data[:8]) == _PNG:
            width, height = struct.unpack_from(">II", data, 16)
            return width, height
        if bytes(data[:2]) == _JPEG:
            return _jpeg_size(data)
    except struct.error:  # cut short
        pass
    return None


def _jpeg_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Walk from segment to segment until the frame's."""
    at = len(_JPEG)
    while True:
        start, marker, length = struct.unpack_from(">BBH", data, at)
        if start != 0xFF:
            return None
        if marker == 0xFF:  # a filling byte in front of a marker
            at += 1
        elif marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + max(length, 2)
