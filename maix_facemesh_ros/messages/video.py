"""H.264 and H.265 streams in messages of one packet each, decoded by PyAV.

The messages are foxglove_msgs/CompressedVideo and ffmpeg_image_transport_msgs/FFMPEGPacket. Each
has the packets of exactly one image in the byte stream format (ITU-T H.264 and H.265, annex B). All
but the key frames depend on the images before them, so every message has to be decoded, in order.

Nothing here needs ROS. PyAV is imported with the first `VideoDecoder`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

import numpy as np

from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.image import Image, ImageError, Stamp
from maix_facemesh_ros.messages.cdr import CdrReader
from maix_facemesh_ros.missing_packages import pip_install

#: Pixels of an image at most, 5K: a decoder keeps up to 16 images as references.
LARGEST_VIDEO: Final = 16_000_000

#: Seconds by which stamps go back where a recording is played again, and by no clock's correction.
STEP_BACK: Final = 1.0

#: By a part of the name of a format or encoder, such as h264, libx264 and hevc_nvenc: the decoder.
DECODERS: Final = {"264": "h264", "265": "hevc", "hevc": "hevc"}

#: Begin of a unit in a stream, and its first byte.
_UNIT: Final = re.compile(rb"\x00\x00\x01([\x00-\xff])")

#: Types of units with a part of an image (table 7-1 of each standard): all, and those of key frames
#: after which no image refers to one before.
_IMAGE_UNITS: Final = {"h264": range(1, 6), "hevc": range(32)}
_KEY_UNITS: Final = {"h264": range(5, 6), "hevc": range(16, 22)}
_CRA: Final = 21


#: The decoder of H.264 marks damaged images; that of H.265 does not, and fails with this option.
_OPTIONS: Final = {"hevc": {"err_detect": "explode"}}


class VideoError(FaceMeshError, RuntimeError):
    """Video cannot be decoded on this machine; the message says how to change that."""


class NoKeyFrameError(ImageError):
    """A stream that was joined in the middle, or was damaged: its next key frame is awaited."""


class VideoPacket(NamedTuple):
    """One image of a stream, encoded."""

    stamp: Stamp
    frame_id: str
    #: One of the values of `DECODERS`.
    codec: str
    data: memoryview
    #: Width and height that the message declares; None: it declares none.
    size: tuple[int, int] | None = None

    def units(self) -> Iterator[int]:
        """Yield the types of the units in the packet."""
        for match in _UNIT.finditer(self.data):
            first = match[1][0]
            yield first & 0x1F if self.codec == "h264" else first >> 1 & 0x3F

    @property
    def image_unit(self) -> int | None:
        """The type of the first unit with a part of the image; None: there is none."""
        parts = _IMAGE_UNITS[self.codec]
        return next((unit for unit in self.units() if unit in parts), None)

    @property
    def is_key(self) -> bool:
        """Whether decoding can start here."""
        return self.image_unit in _KEY_UNITS[self.codec]

    @property
    def is_cut(self) -> bool:
        """Whether decoding that starts here gives exactly what decoding from the beginning gives.

        An H.265 stream may also have key frames which images refer to past (CRA).
        """
        return self.is_key and (self.codec == "h264" or self.image_unit != _CRA)


class VideoFrame(NamedTuple):
    """A decoded image of a stream, still in the decoder's format."""

    packet: VideoPacket
    #: av.VideoFrame.
    frame: Any

    def image(self) -> Image:
        """Return the image, in new memory."""
        pixels = np.asarray(self.frame.to_ndarray(format="bgr24"), np.uint8)
        return Image(pixels, "bgr", self.packet.stamp, self.packet.frame_id)


#: Reads one kind of serialized message.
ReadPacket = Callable[[bytes], VideoPacket]


def read_compressed_video(message: bytes) -> VideoPacket:
    """Read a serialized foxglove_msgs/CompressedVideo, which begins like a message with a header.

    Raises:
        ImageError: cut short, or of another format than H.264 and H.265.
    """
    reader = CdrReader(message)
    stamp, frame_id = reader.header()
    (length,) = reader.numbers("I")
    data = reader.data(length)
    (length,) = reader.numbers("I")
    return VideoPacket(stamp, frame_id, _decoder_of(reader.text(length)), data)


def read_ffmpeg_packet(message: bytes) -> VideoPacket:
    """Read a serialized ffmpeg_image_transport_msgs/FFMPEGPacket.

    Raises:
        ImageError: cut short, too large, or of another encoding than H.264 and H.265.
    """
    reader = CdrReader(message)
    stamp, frame_id = reader.header()
    width, height, length = reader.numbers("iiI")
    codec = _decoder_of(reader.text(length))
    reader.numbers("Q")  # pts
    reader.numbers("BB")  # flags, is_bigendian
    (length,) = reader.numbers("I")
    if width <= 0 or height <= 0 or width * height > LARGEST_VIDEO:
        raise ImageError(
            f"the packet declares an image of {width}x{height}: at most {LARGEST_VIDEO} pixels "
            "are decoded"
        )
    return VideoPacket(stamp, frame_id, codec, reader.data(length), (width, height))


def _decoder_of(name: str) -> str:
    # ffmpeg_image_transport appends pixel formats: "h264;yuv420p;bgr8".
    codec = name.partition(";")[0].lower()
    for part, decoder in DECODERS.items():
        if part in codec:
            return decoder
    raise ImageError(f"the video's format is {name[:40]!r}: known are H.264 and H.265")


def why_no_video() -> str:
    """Return why no video can be decoded here, and a remedy; empty if it can."""
    return "" if find_spec("av") else f"H.264 and H.265 need PyAV: {pip_install('av')}"


class VideoDecoder:
    """Decodes the messages of one stream, in order.

    A stream that is joined in the middle starts with its next key frame, and so does one with a
    damaged packet, and one whose stamps go back by more than a second: what follows refers to what
    is missing.
    """

    def __init__(self, read: ReadPacket) -> None:
        """Prepare for a stream.

        Args:
            read: reads its messages.

        Raises:
            VideoError: PyAV is missing.
        """
        if reason := why_no_video():
            raise VideoError(reason)
        import av

        self._av = av
        self._read = read
        self._codec = ""
        #: None until the first key frame.
        self._context: Any = None
        #: Stamp of the last packet, in seconds.
        self._stamp = 0.0

    def restart(self) -> None:
        """Wait for the next key frame: messages are missing."""
        self._context = None

    def decode(self, message: bytes) -> VideoFrame:
        """Decode the next message.

        Raises:
            NoKeyFrameError: the key frame has not come yet.
            ImageError: the packet is damaged, too large, or does not give one image.
        """
        packet = self._read(message)
        # A recording that is played again begins another stream, as for `StreamClock`.
        is_played_again = packet.stamp.seconds < self._stamp - STEP_BACK
        self._stamp = packet.stamp.seconds
        if packet.codec != self._codec or is_played_again:
            self._codec, self._context = packet.codec, None
        if self._context is None:
            if not packet.is_key:
                raise NoKeyFrameError("the stream waits for its next key frame")
            self._context = self._new_context()
        try:
            frame = self._frame_of(packet)
        except ImageError:
            self._context = None
            raise
        return VideoFrame(packet, frame)

    def _new_context(self) -> Any:
        context = self._av.CodecContext.create(self._codec, "r")
        # One thread: several would each hold back an image.
        context.thread_type, context.thread_count = "NONE", 1
        # Checked by libavcodec before it makes room for an image.
        context.options = {"max_pixels": str(LARGEST_VIDEO), **_OPTIONS.get(self._codec, {})}
        return context

    def _frame_of(self, packet: VideoPacket) -> Any:
        try:
            frames = self._context.decode(self._av.Packet(bytes(packet.data)))
        except (self._av.error.FFmpegError, ValueError, struct.error) as error:
            raise ImageError(f"a packet of {len(packet.data)} bytes is damaged: {error}") from error
        if len(frames) != 1:
            raise ImageError(
                f"a packet of {len(packet.data)} bytes gives {len(frames)} images instead of one: "
                "it is damaged, or the encoder makes B-frames, which have to be switched off"
            )
        (frame,) = frames
        if frame.is_corrupt:
            raise ImageError(f"a packet of {len(packet.data)} bytes is damaged")
        if packet.size not in (None, (frame.width, frame.height)):
            raise ImageError(
                f"the image has {frame.width}x{frame.height} pixels where the packet declares "
                f"{packet.size}"
            )
        return frame
