"""`facemesh_bag --blur`: no face is left in the images, and everything else is as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.messages.image import read_compressed_image, read_image
from maix_facemesh_ros.offline.main import main
from recorded_bags import (
    INTERVAL,
    START,
    TYPES,
    camera_messages,
    compressed_image,
    content_of,
    header,
    message_type,
    raw_image,
    scene,
    text,
    write_bag,
)

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
COUNT = 45


def faces_in(images: list[Pixels]) -> list[int]:
    """Return the number of faces in each of some images, each searched whole."""
    with FaceMesh(tracking=False, max_face_num=0) as mesh:
        return [len(mesh.process(image)) for image in images]


def images_of(bag: Path, topic: str) -> list[Pixels]:
    read = read_compressed_image if topic.endswith("compressed") else read_image
    found = [data for name, _, data in content_of(bag) if name == topic]
    return [read(data).rgb for data in found[:COUNT]]


def test_a_copy_without_faces_and_otherwise_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = list(scene(COUNT))
    topic = "/camera/image_raw/compressed"
    messages = camera_messages(images)
    messages += [
        ("/chatter", "std_msgs/msg/String", START + 5 * INTERVAL, text("hello")),
        ("/camera/facemesh/image_annotated/compressed", COMPRESSED, START, messages[0][3]),
        (topic, COMPRESSED, START + COUNT * INTERVAL, compressed_image(START, b"broken")),
    ]
    bag = write_bag(tmp_path / "bag", messages)
    assert main([str(bag), "-o", str(tmp_path / "blurred"), "--blur", "--workers", "1"]) == 0
    said = capsys.readouterr().err
    assert "they cannot be decoded: 1 image of /camera/image_raw/compressed" in said
    assert "not blurred: /camera/facemesh/image_annotated/compressed" in said

    before = images_of(bag, topic)
    after = images_of(tmp_path / "blurred", topic)
    assert len(after) == COUNT
    assert sum(faces_in(before)) > COUNT * 0.8
    assert sum(faces_in(after)) == 0
    recorded, copied = content_of(bag), content_of(tmp_path / "blurred")
    for name in ("/chatter", "/camera/camera_info"):
        kept = [each for each in recorded if each[0] == name]
        assert kept
        assert [each for each in copied if each[0] == name] == kept
    assert [t for n, t, _ in copied if n == topic] == [t for n, t, _ in recorded if n == topic][:-1]
    assert sum(name == "/camera/faces" for name, _, _ in copied) == COUNT


@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "bgra8", "bayer_rggb8", "nv12"])
def test_raw_images_of_any_encoding(encoding: str, tmp_path: Path) -> None:
    """The first three are empty: the place of a face that is found later is blurred already."""
    face = next(iter(scene(1)))
    empty = np.full_like(face, 90)
    messages = [
        ("/image_raw", IMAGE, START + n * INTERVAL, encoded(START + n * INTERVAL, image, encoding))
        for n, image in enumerate([empty] * 3 + [face] * 6)
    ]
    bag = write_bag(tmp_path / "bag", messages)
    output = tmp_path / "blurred"
    assert main([str(bag), "-o", str(output), "--blur", "--quiet", "--workers", "1"]) == 0
    assert sum(faces_in(images_of(bag, "/image_raw"))) == 6
    assert sum(faces_in(images_of(output, "/image_raw"))) == 0
    (first, *_) = (data for name, _, data in content_of(output) if name == "/image_raw")
    kept = encoding if encoding in ("rgb8", "mono8", "bgra8") else "bgr8"
    message: Any = TYPES.deserialize_cdr(first, IMAGE)
    assert message.encoding == kept


def encoded(stamp: int, image: Pixels, encoding: str) -> bytes:
    height, width = image.shape[:2]
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    planes: dict[str, Any] = {
        "mono8": gray,
        "bgra8": cv2.cvtColor(image, cv2.COLOR_RGB2BGRA),
        "bayer_rggb8": gray,  # a gray scene
        "nv12": np.vstack([gray, np.full((height // 2, width), 128, np.uint8)]),
    }
    if encoding == "rgb8":
        return raw_image(stamp, image)
    pixels = np.ascontiguousarray(planes[encoding])
    step = width * (pixels.shape[2] if pixels.ndim == 3 else 1)
    message = message_type(IMAGE)(
        header(stamp), height, width, encoding, 0, step, pixels.reshape(-1)
    )
    return bytes(TYPES.serialize_cdr(message, IMAGE))


def test_only_bags_are_blurred(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), next(iter(scene(1))))
    output = tmp_path.parent / "never"
    assert main([str(tmp_path / "a.png"), "-o", str(output), "--blur"]) == 1
    assert "--blur copies bags" in capsys.readouterr().err
    assert not output.exists()
