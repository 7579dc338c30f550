"""Reads the fields of a serialized message one after the other, without ROS and without copies.

The layout is that of XCDR1 (DDS-XTypes 1.3, 7.4): a 4 byte encapsulation header with the byte
order, then each field aligned to its own size, counted from after that header.
"""

from __future__ import annotations

import struct
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.image import ImageError, Stamp

#: Bytes of a serialized message with a header up to the end of its stamp.
STAMP_END = 12


class CdrReader:
    """Reads the fields of a CDR message one after the other."""

    HEADER_SIZE = 4
    #: Second byte of the encapsulation header: plain CDR, big or little endian.
    BYTE_ORDERS: ClassVar = {b"\x00\x00": ">", b"\x00\x01": "<"}

    def __init__(self, message: bytes) -> None:
        self._message = memoryview(message)
        self._at = self.HEADER_SIZE
        byte_order = self.BYTE_ORDERS.get(bytes(message[:2]))
        if byte_order is None or len(message) < self.HEADER_SIZE:
            raise ImageError(f"the message starts with {bytes(message[:4])!r}: this is not CDR")
        self._byte_order = byte_order

    def numbers(self, kinds: str) -> tuple[int, ...]:
        """Read numbers of one size, each of a kind as in `struct`."""
        self._at += -(self._at - self.HEADER_SIZE) % struct.calcsize("=" + kinds[0])
        kinds = self._byte_order + kinds
        return struct.unpack(kinds, self.data(struct.calcsize(kinds)))

    def header(self) -> tuple[Stamp, str]:
        """Read a std_msgs/Header."""
        sec, nanosec, length = self.numbers("iII")
        return Stamp(sec, nanosec), self.text(length)

    def text(self, length: int) -> str:
        """Read a string, of which the length has been read."""
        return str(self.data(length), "utf-8", "replace").rstrip("\0")

    def data(self, size: int) -> memoryview:
        """Read bytes, of which the number has been read."""
        taken = self._message[self._at : self._at + size]
        if len(taken) < size:
            raise ImageError(
                f"the message ends after {len(self._message)} bytes where a field needs "
                f"{self._at + size}"
            )
        self._at += size
        return taken

    def sequence(self, dtype: str) -> npt.NDArray[np.generic]:
        """Read a sequence of numbers; a view of the message.

        Args:
            dtype: of numpy, without a byte order, such as f4.
        """
        (length,) = self.numbers("I")
        kind = np.dtype(self._byte_order + dtype)
        return np.frombuffer(self.data(length * kind.itemsize), kind)

    def skip(self, kind: str, count: int) -> None:
        """Step over numbers of one kind, as in `struct`; all of them must be there."""
        size = struct.calcsize("=" + kind)
        self._at += -(self._at - self.HEADER_SIZE) % size
        self.data(size * count)

    @property
    def left(self) -> int:
        """Bytes that have not been read."""
        return len(self._message) - self._at
