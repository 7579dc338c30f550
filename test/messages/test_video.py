"""H.264 and H.265 streams in messages: decoding, joining in the middle, damage, limits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from maix_facemesh_ros.image import ImageError, Pixels
from maix_facemesh_ros.messages import video
from maix_facemesh_ros.messages.video import (
    NoKeyFrameError,
    ReadPacket,
    VideoDecoder,
    VideoError,
    read_compressed_video,
    read_ffmpeg_packet,
)
from recorded_bags import HEIGHT, INTERVAL, SECOND, START, WIDTH, scene
from video_streams import compressed_video, damaged, encoded, ffmpeg_packet

SIZE = (WIDTH, HEIGHT)
IMAGES = list(scene(12))
KEY_INTERVAL = 5


@pytest.fixture(scope="module", params=["h264", "h265"])
def stream(request: pytest.FixtureRequest) -> tuple[str, list[bytes]]:
    """The format, and a packet for each image."""
    return request.param, encoded(IMAGES, request.param, key_interval=KEY_INTERVAL)


def messages(stream: tuple[str, list[bytes]]) -> list[bytes]:
    format_name, packets = stream
    return [
        compressed_video(START + number * INTERVAL, packet, format_name)
        for number, packet in enumerate(packets)
    ]


def decoded(decoder: VideoDecoder, message: bytes) -> str:
    """Return what becomes of a message: its number, or the kind of the error."""
    try:
        image = decoder.decode(message).image()
    except NoKeyFrameError:
        return "waits"
    except ImageError:
        return "error"
    return str(round((image.stamp.nanoseconds - START) / INTERVAL))


def differences(image: Pixels, other: Pixels) -> float:
    return float(np.abs(image.astype(int) - other.astype(int)).mean())


def test_each_message_is_one_image_with_its_stamp(stream: tuple[str, list[bytes]]) -> None:
    decoder = VideoDecoder(read_compressed_video)
    for number, message in enumerate(messages(stream)):
        image = decoder.decode(message).image()
        assert image.stamp.nanoseconds == START + number * INTERVAL
        assert (image.frame_id, image.size) == ("camera", SIZE)
        assert differences(image.rgb, IMAGES[number]) < 6


@pytest.mark.parametrize(
    ("encoding", "format_name"),
    [
        ("libx264", "h264"),
        ("h264_nvenc", "h264"),
        ("h264;yuv420p;bgr8;bgr8", "h264"),
        ("hevc_vaapi", "h265"),
        ("libx265", "h265"),
    ],
)
def test_packets_of_ffmpeg_image_transport(encoding: str, format_name: str) -> None:
    decoder = VideoDecoder(read_ffmpeg_packet)
    for number, packet in enumerate(encoded(IMAGES[:3], format_name)):
        stamp = START + number * INTERVAL
        image = decoder.decode(ffmpeg_packet(stamp, packet, SIZE, encoding)).image()
        assert image.stamp.nanoseconds == stamp
        assert differences(image.rgb, IMAGES[number]) < 6


def test_a_stream_joined_in_the_middle_starts_with_its_key_frame(
    stream: tuple[str, list[bytes]],
) -> None:
    decoder = VideoDecoder(read_compressed_video)
    results = [decoded(decoder, message) for message in messages(stream)[2:]]
    assert results == ["waits"] * 3 + [str(number) for number in range(5, 12)]
    decoder.restart()
    assert [decoded(decoder, message) for message in messages(stream)[8:]] == [
        "waits", "waits", "10", "11",
    ]  # fmt: skip


def test_a_recording_that_is_played_again_is_another_stream(
    stream: tuple[str, list[bytes]],
) -> None:
    """Its first images refer to a key frame before it; a corrected clock changes nothing."""
    format_name, packets = stream
    interval = SECOND // 2
    recording = [
        compressed_video(START + number * interval, packet, format_name)
        for number, packet in enumerate(packets)
    ][2:]
    decoder = VideoDecoder(read_compressed_video)
    for _ in range(2):
        waited = [decoded(decoder, message) == "waits" for message in recording]
        assert waited == [True] * 3 + [False] * 7
    corrected = compressed_video(START + 10 * interval, packets[10], format_name)
    assert decoded(decoder, corrected) != "waits"


def test_after_damage_the_next_key_frame_is_awaited() -> None:
    packets = encoded(IMAGES, key_interval=KEY_INTERVAL)
    packets[2] = damaged(packets[2])
    decoder = VideoDecoder(read_compressed_video)
    results = [decoded(decoder, message) for message in messages(("h264", packets))]
    assert results == ["0", "1", "error", "waits", "waits", *map(str, range(5, 12))]


def test_any_bytes_are_an_error_and_the_stream_goes_on(stream: tuple[str, list[bytes]]) -> None:
    random = np.random.default_rng(1)
    decoder = VideoDecoder(read_compressed_video)
    right = messages(stream)
    for _ in range(60):
        broken = bytearray(right[int(random.integers(len(right)))])
        for at in random.integers(len(broken), size=int(random.integers(1, 30))):
            broken[at] = int(random.integers(256))
        decoded(decoder, bytes(broken[: int(random.integers(1, len(broken)))]))
    # The next key frame begins a stream again.
    assert decoded(decoder, right[KEY_INTERVAL]) == str(KEY_INTERVAL)


def test_a_stream_with_b_frames_is_refused_with_the_reason() -> None:
    packets = encoded(IMAGES, key_interval=12, b_frames=2)
    decoder = VideoDecoder(read_compressed_video)
    with pytest.raises(ImageError, match="B-frames, which have to be switched off"):
        for message in messages(("h264", packets)):
            decoder.decode(message)


def test_other_formats_are_refused() -> None:
    for message, read in (
        (compressed_video(START, b"\0", "vp9"), read_compressed_video),
        (ffmpeg_packet(START, b"\0", SIZE, "libaom-av1"), read_ffmpeg_packet),
    ):
        with pytest.raises(ImageError, match=r"known are H\.264 and H\.265"):
            VideoDecoder(read).decode(message)


@pytest.mark.parametrize(
    ("read", "whole"),
    [
        (read_compressed_video, compressed_video(START, bytes(100))),
        (read_ffmpeg_packet, ffmpeg_packet(START, bytes(100), SIZE)),
    ],
    ids=["foxglove", "ffmpeg"],
)
def test_messages_that_are_cut_short_are_refused(read: ReadPacket, whole: bytes) -> None:
    read(whole)
    for length in range(len(whole) - 4):
        with pytest.raises(ImageError):
            read(whole[:length])


def test_what_is_too_large_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    (packet,) = encoded(IMAGES[:1])
    for size in ((100_000, 100_000), (0, 5), (-1, 5)):
        with pytest.raises(ImageError, match="the packet declares an image of"):
            read_ffmpeg_packet(ffmpeg_packet(START, packet, size))
    with pytest.raises(ImageError, match="320x240 pixels where the packet declares"):
        VideoDecoder(read_ffmpeg_packet).decode(ffmpeg_packet(START, packet, (64, 64)))
    # The stream's own size counts where the message declares none, or another one.
    monkeypatch.setattr(video, "LARGEST_VIDEO", WIDTH * HEIGHT - 1)
    with pytest.raises(ImageError, match="is damaged"):
        VideoDecoder(read_compressed_video).decode(compressed_video(START, packet))


def exp_golomb(number: int) -> str:
    """Return the bits of a number (ITU-T H.264, 9.1)."""
    digits = f"{number + 1:b}"
    return "0" * (len(digits) - 1) + digits


def declaring(packet: bytes, width: int, height: int) -> bytes:
    """Return a packet whose sequence parameters declare another size (7.3.2.1.1)."""
    numbers = (0, 0, 0, 0, 16)
    bits = "".join(map(exp_golomb, numbers)) + "0"
    bits += exp_golomb(width // 16 - 1) + exp_golomb(height // 16 - 1) + "11001"
    bits += "0" * (-len(bits) % 8)
    parameters = bytes(
        [0x67, 66, 0, 51, *(int(bits[n : n + 8], 2) for n in range(0, len(bits), 8))]
    )
    start, *units = packet.split(b"\0\0\1")
    assert units[0][0] & 0x1F == 7
    return start + b"".join(b"\0\0\1" + unit for unit in (parameters, *units[1:]))


#: Decodes a message from standard input; prints how much more memory that took, in kB.
MEMORY = """
import resource, sys
from maix_facemesh_ros.messages.video import ImageError, VideoDecoder, read_compressed_video
decoder = VideoDecoder(read_compressed_video)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decoder.decode(sys.stdin.buffer.read())
except ImageError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


def test_a_small_packet_takes_no_memory_for_the_size_it_declares() -> None:
    (packet,) = encoded([np.zeros((64, 64, 3), np.uint8)])
    message = compressed_video(START, declaring(packet, 16384, 16384))
    assert len(message) < 2000
    printed = subprocess.run(
        [sys.executable, "-c", MEMORY], input=message, capture_output=True, check=True
    ).stdout.decode()
    assert "is damaged" in printed
    assert int(printed.split()[0]) < 30_000


def test_without_pyav_the_reason_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "find_spec", lambda _name: None)
    with pytest.raises(VideoError, match=r"^H\.264 and H\.265 need PyAV: pip install av$"):
        VideoDecoder(read_compressed_video)


def test_key_frames_are_told_by_their_units() -> None:
    units = {"h264": (0x65, 0x41), "h265": (19 << 1, 1 << 1)}
    for format_name, (key, other) in units.items():
        for unit, is_key in ((key, True), (other, False)):
            data = b"\0\0\1" + bytes([unit, 1])
            packet = read_compressed_video(compressed_video(START, data, format_name))
            assert (packet.is_key, packet.is_cut) == (is_key, is_key)
    cra = read_compressed_video(compressed_video(START, b"\0\0\1" + bytes([21 << 1, 1]), "h265"))
    assert (cra.is_key, cra.is_cut) == (True, False)
