"""Which topics of a bag are cameras, and that everything else is named with reason and count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from maix_facemesh_ros.bags.camera_topics import CameraTopics, find_camera_topics
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.offline.main import main
from recorded_bags import (
    INTERVAL,
    START,
    TYPES,
    Recorded,
    camera_messages,
    compressed_image,
    content_of,
    header,
    jpeg,
    message_type,
    scene,
    text,
    write_bag,
)

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def image_of(pixels: npt.NDArray[np.generic], encoding: str, number: int = 0) -> Recorded:
    """Return a message on /sensor/image; its topic can be replaced."""
    rows, columns = pixels.shape[:2]
    data = np.frombuffer(np.ascontiguousarray(pixels).tobytes(), np.uint8)
    message = message_type(IMAGE)(
        *(header(START + number * INTERVAL), rows, columns, encoding, 0, data.size // rows, data)
    )
    serialized = bytes(TYPES.serialize_cdr(message, IMAGE))
    return ("/sensor/image", IMAGE, START + number * INTERVAL, serialized)


def png_of(pixels: npt.NDArray[np.generic], name: str) -> Recorded:
    _, encoded = cv2.imencode(".png", np.asarray(pixels))
    message = message_type(COMPRESSED)(
        header(START), name, np.frombuffer(encoded.tobytes(), np.uint8)
    )
    return ("/sensor/image", COMPRESSED, START, bytes(TYPES.serialize_cdr(message, COMPRESSED)))


def topics_in(folder: Path, messages: Sequence[Recorded]) -> CameraTopics:
    with Bag(write_bag(folder / "bag", messages)) as bag:
        return find_camera_topics(bag)


def cameras_in(folder: Path, messages: Sequence[Recorded]) -> list[str]:
    return [topic.name for topic in topics_in(folder, messages).cameras]


def gray(image: Pixels) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def room() -> npt.NDArray[np.float64]:
    """Return distances in meters, with a part that was not measured."""
    distances = np.fromfunction(lambda y, x: 0.6 + x / 100 + y / 200, (48, 64))
    distances[:6, :9] = 0.0
    return np.asarray(distances)


def on(topic: str, recorded: Recorded) -> Recorded:
    return (topic, *recorded[1:])


PHOTO = next(scene(1))

DISTANCES = {
    "millimeters": image_of((1000 * room()).astype(np.uint16), "16UC1"),
    "meters": image_of(room().astype(np.float32), "32FC1"),
    "millimeters called mono16": image_of((1000 * room()).astype(np.uint16), "mono16"),
    "PNG": png_of((1000 * room()).astype(np.uint16), "16UC1; png compressed "),
    "PNG called mono16": png_of((1000 * room()).astype(np.uint16), "mono16; png compressed "),
    "compressedDepth": png_of((1000 * room()).astype(np.uint16), "16UC1; compressedDepth png"),
}

CONFIDENCES = {
    "16 levels": image_of(
        16 * (np.indices((48, 64)).sum(axis=0) // 7 % 16).astype(np.uint8), "mono8"
    ),
    "two levels": image_of(np.where(room() > 0, 255, 0).astype(np.uint8), "8UC1"),
}

CAMERAS = {
    "gray": image_of(gray(PHOTO), "mono8"),
    "8UC1": image_of(gray(PHOTO), "8UC1"),
    "10 bits": image_of(gray(PHOTO).astype(np.uint16) * 4, "mono16"),
    "16 bits": image_of(gray(PHOTO).astype(np.uint16) * 257, "mono16"),
    "at night": image_of((gray(PHOTO) // 25), "mono8"),
    "black": image_of(np.zeros((48, 64), np.uint8), "mono8"),
    "black, 16 bits": image_of(np.zeros((48, 64), np.uint16), "mono16"),
    "color": image_of(PHOTO, "rgb8"),
    "gray PNG": png_of(gray(PHOTO), "mono8; png compressed "),
}


@pytest.mark.parametrize("message", DISTANCES.values(), ids=DISTANCES)
def test_distances_are_no_camera_whatever_their_topic_is_called(
    message: Recorded, tmp_path: Path
) -> None:
    found = topics_in(tmp_path, [on("/camera/color", message)])
    assert found.cameras == []
    (skipped,) = map(str, found.skipped)
    assert skipped == "/camera/color is skipped (1 message): its images hold distances"


@pytest.mark.parametrize("message", CONFIDENCES.values(), ids=CONFIDENCES)
def test_confidences_and_masks_are_no_camera(message: Recorded, tmp_path: Path) -> None:
    (skipped,) = topics_in(tmp_path, [message]).skipped
    assert "a mask or a confidence" in skipped.reason


@pytest.mark.parametrize("message", CAMERAS.values(), ids=CAMERAS)
def test_a_camera_is_one_whatever_its_topic_is_called(message: Recorded, tmp_path: Path) -> None:
    topics = ["/confidence/disparity", "/depth_camera/rgb/image_raw"]
    assert cameras_in(tmp_path, [on(topic, message) for topic in topics]) == topics


@pytest.mark.parametrize(
    "topic",
    [
        "/facemesh/image_annotated",
        "/left/facemesh/image_annotated/compressed",
        "/face_node/image_annotated/theora",
        "/facemesh/image_blurred/compressed",
        "/humans/faces/abcde/cropped",
        "/robot/humans/faces/abcde/aligned/compressed",
    ],
)
def test_what_the_package_publishes_is_no_camera(topic: str, tmp_path: Path) -> None:
    message = compressed_image(START, jpeg(PHOTO))
    messages = [(topic, COMPRESSED, START, message), ("/cropped", COMPRESSED, START, message)]
    found = topics_in(tmp_path, messages)
    assert [each.name for each in found.cameras] == ["/cropped"]
    (skipped,) = found.skipped
    assert (skipped.name, skipped.count) == (topic, 1)
    assert "published by facemesh_node" in skipped.reason


@pytest.mark.parametrize(
    ("raw", "compressed", "broken", "chosen"),
    [
        (12, 12, 0, "raw"),
        (0, 12, 0, "compressed"),
        (1, 12, 0, "compressed"),
        (12, 12, 2, "compressed"),
        (12, 1, 0, "raw"),
        (60, 60, 31, "compressed"),
    ],
)
def test_of_raw_and_compressed_the_one_with_more_usable_images_is_taken(
    raw: int, compressed: int, broken: int, chosen: str, tmp_path: Path
) -> None:
    """`broken` of the raw ones are of an unknown encoding."""
    photo = PHOTO[::8, ::8]
    messages = [on("/eye/image_raw", image_of(photo, "rgb8", n)) for n in range(broken, raw)]
    messages += [on("/eye/image_raw", image_of(photo, "strange", n)) for n in range(broken)]
    encoded = compressed_image(START, jpeg(photo))
    messages += [
        ("/eye/image_raw/compressed", COMPRESSED, START + n * INTERVAL, encoded)
        for n in range(compressed)
    ]
    messages.append(on("/other/image_raw", image_of(photo, "rgb8")))
    found = topics_in(tmp_path, messages)
    taken, other = "/eye/image_raw", "/eye/image_raw/compressed"
    if chosen == "compressed":
        taken, other = other, taken
    assert sorted(topic.name for topic in found.cameras) == [taken, "/other/image_raw"]
    for skipped in found.skipped:
        assert skipped.name == other
        assert f"{taken} has the same images" in skipped.reason
    assert len(found.skipped) == (raw > 0)


def test_bad_images_at_the_beginning_cost_nothing(tmp_path: Path) -> None:
    """One usable image after 200 that are not, and a topic of which none is."""
    photo = PHOTO[::8, ::8]
    bad = [image_of(photo, "strange", n) for n in range(200)]
    messages = [*bad, image_of(photo, "rgb8", 200)]
    messages += [on("/broken/image", each) for each in bad[:30]]
    found = topics_in(tmp_path, messages)
    assert [topic.name for topic in found.cameras] == ["/sensor/image"]
    (skipped,) = found.skipped
    assert (skipped.name, skipped.count) == ("/broken/image", 30)
    assert skipped.reason.startswith("the encoding is 'strange': known are")


def faces_of(bag: Path, folder: Path) -> dict[str, int]:
    """Return how many FaceArrays `facemesh_bag` writes on which topic."""
    assert main([str(bag), "-o", str(folder / "faces"), "--workers", "1", "--quiet"]) == 0
    topics = [topic for topic, _, _ in content_of(folder / "faces")]
    return {topic: topics.count(topic) for topic in topics}


def test_a_bag_recorded_beside_the_node_has_every_face_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = camera_messages(list(scene(3)))
    messages += [
        on("/camera/facemesh/image_annotated/compressed", message)
        for message in messages
        if message[1] == COMPRESSED
    ]
    assert faces_of(write_bag(tmp_path / "bag", messages), tmp_path) == {"/camera/faces": 3}
    assert "image_annotated/compressed is skipped (3 messages)" in capsys.readouterr().err


def test_not_a_single_usable_image_is_a_code_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And leaves no output: without topics of images, and with images that turn out damaged."""
    silent = write_bag(tmp_path / "silent", [("/a", "std_msgs/msg/String", START, text("a"))])
    broken = compressed_image(START, b"no JPEG at all")
    topic = "/camera/image_raw/compressed"
    damaged = write_bag(
        tmp_path / "damaged", [(topic, COMPRESSED, START + n, broken) for n in range(3)]
    )
    before = sorted(tmp_path.iterdir())
    for arguments, said in (
        ([silent], "has no usable images: Its topics are /a (std_msgs/msg/String)"),
        ([damaged], f"{topic} is skipped (3 messages): 14 bytes of format"),
        ([damaged, "--topics", topic], "no image could be used: 3 images: 14 bytes of format"),
    ):
        output = ["-o", str(tmp_path / "faces"), "--workers", "1", "--quiet"]
        assert main([*map(str, arguments), *output]) == 3
        assert said in capsys.readouterr().err
        assert sorted(tmp_path.iterdir()) == before


def test_every_reason_is_told_with_its_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seven reasons; damaged JPEGs of different sizes are one reason."""
    photo = PHOTO[::8, ::8]
    encodings = [f"odd_{letter}" for letter in "abcdef"]
    messages = [image_of(photo, encoding, n) for n, encoding in enumerate(encodings)]
    messages.append(image_of(photo, "rgb8", 6))
    messages.append(("/sensor/image", IMAGE, START + 7 * INTERVAL, messages[-1][3][:90]))
    messages.append(("/sensor/image", IMAGE, START + 8 * INTERVAL, messages[-2][3][:95]))
    assert faces_of(write_bag(tmp_path / "bag", messages), tmp_path) == {"/sensor/faces": 1}
    said = capsys.readouterr().err
    for encoding in encodings:
        assert f"1 image skipped: the encoding is '{encoding}'" in said
    assert said.count(" skipped: ") == 7
    assert "2 images skipped: the message ends after 90 bytes" in said
