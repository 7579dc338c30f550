"""The results of a MaixCAM's frames, and how its JPEGs are published; without a running node."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import Face, FaceFrame, JpegFrame
from maix_facemesh_ros.image import ImageError, Stamp
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros import inputs
from maix_facemesh_ros.ros.images import InputContext
from maix_facemesh_ros.ros.inputs import FaceStreamInput
from maix_facemesh_ros.ros.publishers.jpeg_image import JpegImages
from maix_facemesh_ros.ros.result import Result
from node_results import result_of

SIZE = (64, 48)
JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()


class Stream:
    """Gives frames as a MaixCAM would, and notes the camera that each was enriched with."""

    name = "MaixCAM"

    def __init__(self, *_: Any) -> None:
        self.camera: CameraModel | None = None
        self.coming: list[FaceFrame | JpegFrame] = []

    def frames(self) -> Iterator[FaceFrame | JpegFrame]:
        yield from self.coming


class Heard:
    """Stands in for a node, for its publishers, for diagnostics and for annotated images."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.annotated: list[Result] = []
        self.arrived_images = 0
        self.is_wanted = True

    def arrived(self, *, replaced_another: bool) -> None:
        assert not replaced_another
        self.arrived_images += 1

    def get_clock(self) -> Any:
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=5_000_000_000))

    def resolve_topic_name(self, topic: str, **_: Any) -> str:
        return f"/{topic}"

    def create_publisher(self, *_: Any) -> Any:
        return SimpleNamespace(publish=self.messages.append)

    def publish(self, result: Result) -> None:
        self.annotated.append(result)


def face_frame(taken_at: float) -> FaceFrame:
    return FaceFrame(taken_at, *SIZE, [Face(id=1)])


def results(
    frames: list[FaceFrame | JpegFrame], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> list[Result]:
    monkeypatch.setattr(inputs, "FaceStream", Stream)
    parameters = NodeParameters(
        backend="maixcam", maixcam_address="here", maixcam_token="12345678", frame_id="eye"
    )
    calibration: Any = SimpleNamespace(camera=None)
    anything: Any = heard
    context = InputContext(anything, parameters, calibration, anything, anything, lambda: False)
    source = FaceStreamInput(context)
    source.open()
    source._stream.coming = frames  # type: ignore[attr-defined]
    return [source.result(item) for item in source.items()]


def test_a_jpeg_has_the_stamp_and_the_faces_of_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, now = Heard(), time.monotonic()
    first, second, jpeg = results(
        [face_frame(now), face_frame(now + 0.03), JpegFrame(now, JPEG)], heard, monkeypatch
    )
    assert [first.jpeg, second.jpeg, jpeg.jpeg] == [None, None, JPEG]
    assert (jpeg.stamp, jpeg.faces, jpeg.size) == (first.stamp, first.faces, SIZE)
    assert jpeg.faces is not second.faces
    assert first.stamp != second.stamp
    assert (jpeg.has_faces, jpeg.frame_id) == (True, "eye")
    assert heard.arrived_images == 2, "a JPEG is not an image more"


def test_a_jpeg_whose_faces_were_dropped_is_not_given_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, jpeg = results([face_frame(1.0), JpegFrame(3.0, JPEG)], Heard(), monkeypatch)
    assert (jpeg.has_faces, list(jpeg.faces), jpeg.size) == (False, [], SIZE)


@pytest.mark.parametrize(("has_faces", "is_wanted"), [(True, True), (True, False), (False, True)])
def test_faces_are_drawn_into_their_own_jpeg_for_subscribers(
    has_faces: bool, is_wanted: bool
) -> None:
    heard: Any = Heard()
    heard.is_wanted = is_wanted
    plain = result_of([Face(id=1)], size=SIZE, stamp=Stamp(3, 4), jpeg=JPEG, has_faces=has_faces)
    JpegImages(heard, (heard,)).publish(plain)

    (message,) = heard.messages
    assert (message.header.stamp.sec, message.header.frame_id) == (3, "camera")
    assert message.data.tobytes() == JPEG
    assert len(heard.annotated) == (has_faces and is_wanted)
    for drawn in heard.annotated:
        assert drawn.image is not None
        assert (drawn.image.size, drawn.stamp, drawn.faces) == (SIZE, plain.stamp, plain.faces)


@pytest.mark.parametrize("jpeg", [b"", JPEG[:100], JPEG])
def test_a_jpeg_of_another_size_or_damaged_is_not_published(jpeg: bytes) -> None:
    heard: Any = Heard()
    with pytest.raises(ImageError):
        JpegImages(heard, (heard,)).publish(result_of(size=(640, 480), jpeg=jpeg))
    assert heard.messages == []


def test_the_header_has_a_frame_where_the_image_has_none() -> None:
    result = replace(result_of(frame_id=""), parameters=NodeParameters(frame_id="eye"))
    assert (result.frame_id, result.header.frame_id) == ("", "eye")
    assert (result.header.stamp.sec, result.header.stamp.nanosec) == (1, 2)
    assert result.header is result.header, "made once"
