"""H.264 and H.265 streams as messages, for topics and bags."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from rosbags.typesys import get_types_from_msg

from maix_facemesh_ros.image import Pixels
from recorded_bags import TYPES, header, message_type

_PACKAGES = Path(__file__).parent / "message_packages"

COMPRESSED_VIDEO = "foxglove_msgs/msg/CompressedVideo"
FFMPEG_PACKET = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"

#: Encoder of each format.
ENCODERS = {"h264": "libx264", "h265": "libx265"}

for _name in (COMPRESSED_VIDEO, FFMPEG_PACKET):
    TYPES.register(get_types_from_msg((_PACKAGES / f"{_name}.msg").read_text(), _name))


def encoded(
    images: Iterable[Pixels],
    format_name: str = "h264",
    *,
    key_interval: int = 10,
    b_frames: int = 0,
) -> list[bytes]:
    """Return one packet for each RGB image, and a key frame for every n-th."""
    encoder: Any = None
    packets: list[bytes] = []
    for number, image in enumerate(images):
        if encoder is None:
            encoder = av.CodecContext.create(ENCODERS[format_name], "w")
            encoder.height, encoder.width = image.shape[:2]
            encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 30)
            encoder.gop_size, encoder.max_b_frames = key_interval, b_frames
            tune = {} if b_frames else {"tune": "zerolatency"}
            encoder.options = {"preset": "ultrafast", "x265-params": "log-level=none", **tune}
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts = number
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets + [bytes(packet) for packet in encoder.encode(None)]


def compressed_video(stamp: int, packet: bytes, format_name: str = "h264") -> bytes:
    """Return a serialized CompressedVideo."""
    made = header(stamp)
    message = message_type(COMPRESSED_VIDEO)(
        made.stamp, made.frame_id, np.frombuffer(packet, np.uint8), format_name
    )
    return bytes(TYPES.serialize_cdr(message, COMPRESSED_VIDEO))


def ffmpeg_packet(
    stamp: int, packet: bytes, size: tuple[int, int], encoding: str = "libx264"
) -> bytes:
    """Return a serialized FFMPEGPacket."""
    message = message_type(FFMPEG_PACKET)(
        header(stamp), *size, encoding, stamp, 0, False, np.frombuffer(packet, np.uint8)
    )
    return bytes(TYPES.serialize_cdr(message, FFMPEG_PACKET))


def damaged(packet: bytes) -> bytes:
    """Return a packet with other bytes in the middle of its image."""
    middle = len(packet) // 2
    return packet[:middle] + bytes(40) + packet[middle + 40 :]
