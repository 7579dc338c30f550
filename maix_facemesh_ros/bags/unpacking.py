"""Decompression with limits.

A few bytes of zstd or LZ4 can unpack to any size, and can declare any other size.
"""

from __future__ import annotations

from pathlib import Path

import lz4.frame
import zstandard

from maix_facemesh_ros.bags.storage import MIB
from maix_facemesh_ros.errors import FaceMeshError

#: Bytes of a file that are unpacked at once.
BLOCK = MIB

#: Largest window of a zstd frame, which determines its memory; the zstd program has the same limit.
LARGEST_WINDOW = 128 * MIB

#: Declared by a frame that does not tell its size.
_UNKNOWN_SIZES = (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR)


class TooLargeError(FaceMeshError, ValueError):
    """Something unpacks to more than it may."""

    def __init__(self, size: int, limit: int) -> None:
        """Name the size that is claimed, or was found so far, and the limit, in bytes."""
        super().__init__(f"it unpacks to {size:,} bytes or more, and {limit:,} are allowed")


class CutShortError(FaceMeshError, ValueError):
    """The end of something compressed is missing."""


def unpack_zstd(data: bytes, limit: int) -> bytes:
    """Return the content of a zstd frame (RFC 8878).

    Args:
        data: the frame.
        limit: bytes that the content may have.

    Raises:
        TooLargeError: the frame declares or contains more.
        zstandard.ZstdError: the frame is damaged or truncated.
    """
    claimed = zstandard.get_frame_parameters(data).content_size
    if claimed not in _UNKNOWN_SIZES and claimed > limit:
        raise TooLargeError(claimed, limit)
    try:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        # Without a size, more than may be is the same error as damage.
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            if claimed in _UNKNOWN_SIZES and len(reader.read(limit + 1)) > limit:
                raise TooLargeError(limit + 1, limit) from error
        raise


def unpack_lz4(data: bytes, limit: int) -> bytes:
    """Return the content of an LZ4 frame.

    Args:
        data: the frame.
        limit: bytes that the content may have.

    Raises:
        TooLargeError: the frame has more.
        CutShortError: its end is missing.
        RuntimeError: it is damaged.
    """
    unpacker = lz4.frame.LZ4FrameDecompressor()
    content: bytes = unpacker.decompress(data, max_length=limit + 1)
    if len(content) > limit:
        raise TooLargeError(len(content), limit)
    if not unpacker.eof:
        raise CutShortError("the end of the LZ4 frame is missing")
    return content


def unpack_file(path: Path, target: Path, limit: int) -> None:
    """Unpack a zstd file; the part before any damage is written.

    Args:
        path: the file.
        target: a new file for the content.
        limit: bytes that the content may have.

    Raises:
        TooLargeError: the file declares or contains more; the target is removed.
        CutShortError: the end of the file is missing.
        zstandard.ZstdError: the file is damaged.
        OSError: the file cannot be read, or the target cannot be written.
    """
    with path.open("rb") as source:
        claimed = zstandard.get_frame_parameters(source.read(18)).content_size
        if claimed in _UNKNOWN_SIZES:
            claimed = 0
        if claimed > limit:
            raise TooLargeError(claimed, limit)
        source.seek(0)
        unpacker = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        size = 0
        try:
            with (
                unpacker.stream_reader(source, read_across_frames=True) as reader,
                target.open("wb") as stream,
            ):
                while block := reader.read(BLOCK):
                    size += len(block)
                    if size > limit:
                        raise TooLargeError(size, limit)
                    stream.write(block)
        except (TooLargeError, OSError):
            target.unlink(missing_ok=True)
            raise
    if size < claimed:
        raise CutShortError(f"{path.name} is cut short: {size:,} of {claimed:,} bytes are there")
