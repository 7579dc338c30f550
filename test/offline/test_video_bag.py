"""`facemesh_bag` with H.264 and H.265 topics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rclpy.serialization import deserialize_message

from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.offline.main import main
from maix_facemesh_ros.offline.open_recording import open_recording
from maix_facemesh_ros.offline.recordings import RecordedImage
from recorded_bags import (
    HEIGHT,
    INTERVAL,
    START,
    WIDTH,
    Recorded,
    camera_messages,
    content_of,
    scene,
    stamp_of,
    write_bag,
)
from video_streams import (
    COMPRESSED_VIDEO,
    FFMPEG_PACKET,
    compressed_video,
    encoded,
    ffmpeg_packet,
)

COUNT, KEY_INTERVAL = 60, 12
#: The recording begins in the middle of the stream, and a packet in it is damaged.
FIRST, DAMAGED = 4, 30
#: Numbers of the images that can be decoded.
USABLE = [*range(KEY_INTERVAL, DAMAGED), *range(3 * KEY_INTERVAL, COUNT)]


def video_messages(transport: str) -> list[Recorded]:
    format_name = {"foxglove": "h264", "ffmpeg": "h265"}[transport]
    packets = encoded(scene(COUNT), format_name, key_interval=KEY_INTERVAL)
    # Without a slice's header no decoder gives an image; more of it H.265's may take for one.
    packets[DAMAGED] = packets[DAMAGED][:6]
    messages = []
    for number in range(FIRST, COUNT):
        stamp = START + number * INTERVAL
        if transport == "foxglove":
            kind, data = COMPRESSED_VIDEO, compressed_video(stamp, packets[number])
        else:
            size = (WIDTH, HEIGHT)
            kind, data = FFMPEG_PACKET, ffmpeg_packet(stamp, packets[number], size, "hevc_nvenc")
        messages.append((f"/camera/image_raw/{transport}", kind, stamp, data))
    return messages


@pytest.fixture(scope="module", params=["foxglove", "ffmpeg"])
def bag(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    infos = [each for each in camera_messages(list(scene(COUNT))) if "camera_info" in each[0]]
    folder = tmp_path_factory.mktemp("recorded") / request.param
    return write_bag(folder, [*video_messages(request.param), *infos])


def images_in(bag: Path, start: int | None, stop: int | None) -> dict[int, bytes]:
    """Return the pixels of each usable image between two of them, by its number."""
    recording, found = open_recording(bag), {}
    (camera,) = recording.cameras
    assert camera.camera_info == "/camera/camera_info"
    times = (None if each is None else START + each * INTERVAL for each in (start, stop))
    for each in recording.images(camera, *times):
        if isinstance(each, RecordedImage):
            try:
                pixels = each.read().pixels
            except ImageError:
                continue
            found[round((each.log_time - START) / INTERVAL)] = pixels.tobytes()
    recording.close()
    return found


def test_decoding_from_any_image_on_gives_the_same_images(bag: Path) -> None:
    everything = images_in(bag, None, None)
    assert sorted(everything) == USABLE
    for start, stop in ((0, 20), (17, 18), (24, 40), (31, 50), (47, 60), (59, 60)):
        part = images_in(bag, start, stop)
        assert part == {n: pixels for n, pixels in everything.items() if start <= n < stop}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_faces_of_a_video(
    bag: Path, workers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "faces"
    assert main([str(bag), "-o", str(output), "--workers", workers]) == 0
    said = capsys.readouterr().err
    assert "the stream waits for its next key frame" in said
    answers = [
        deserialize_message(data, FaceArray)
        for topic, _, data in content_of(output)
        if topic == "/camera/faces"
    ]
    numbers = [round((stamp_of(answer) - START) / INTERVAL) for answer in answers]
    assert numbers == USABLE
    # In three images out of 40 the lens is covered.
    assert {n for n, answer in zip(numbers, answers, strict=True) if not answer.faces} == {
        24,
        25,
        26,
    }
    assert all(face.pose_valid for answer in answers for face in answer.faces)


def test_of_the_same_images_the_video_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = camera_messages(list(scene(COUNT)))
    bag = write_bag(tmp_path / "bag", [*images, *video_messages("ffmpeg")])
    assert main([str(bag), "-o", str(tmp_path / "faces.csv"), "--workers", "1"]) == 0
    assert "/camera/image_raw/compressed has the same images" in capsys.readouterr().err


def test_a_video_is_not_copied_where_faces_are_blurred(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = camera_messages(list(scene(5)), "/other")
    bag = write_bag(tmp_path / "bag", [*images, *video_messages("foxglove")])
    assert main([str(bag), "-o", str(tmp_path / "blurred"), "--blur", "--workers", "1"]) == 0
    topics = {topic for topic, _, _ in content_of(tmp_path / "blurred")}
    assert "/other/image_raw/compressed" in topics
    assert "/camera/image_raw/foxglove" not in topics
    assert "/camera/image_raw/foxglove" in capsys.readouterr().err
    named = ["--topics", "/camera/image_raw/foxglove", "--blur"]
    assert main([str(bag), "-o", str(tmp_path / "no"), *named]) != 0
    assert np.any(["is of type" in line for line in capsys.readouterr().err.splitlines()])
