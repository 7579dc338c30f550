"""`FaceStream`: faces that another machine has found get ids, poses and smoothing here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from face_sequences import PLAIN, Mistakes, Seen, count_mistakes
from face_sequences import Sequence as FaceSequence
from maix_facemesh_ros import face_stream
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import FaceFrame
from maix_facemesh_ros.face_stream import FaceStream
from maix_facemesh_ros.parameters import NodeParameters

SIZE = (640, 480)
CAMERA = CameraModel.from_field_of_view(*SIZE, 60)


class Device:
    """Stands for a connected MaixCAM: `backends.FaceSource`, with faces that are known."""

    name = "a device"
    facts: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, pictures: Sequence[Seen]) -> None:
        self._pictures = pictures

    def frames(self) -> Iterator[FaceFrame]:
        for picture in self._pictures:
            yield FaceFrame(picture.stamp, *SIZE, picture.faces)


def stream_of(
    monkeypatch: pytest.MonkeyPatch, pictures: Sequence[Seen], **values: Any
) -> FaceStream:
    monkeypatch.setattr(face_stream, "open_face_source", lambda *_: Device(pictures))
    return FaceStream(
        NodeParameters(backend="maixcam", maixcam_address="device", maixcam_token="t", **values)
    )


@pytest.mark.parametrize("scene", PLAIN)
def test_everyone_keeps_his_id(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence: FaceSequence = scene(np.random.default_rng(3))
    pictures = list(sequence.pictures(np.random.default_rng(3)))
    for _ in stream_of(monkeypatch, pictures, smoothing="off").frames():
        pass
    assert count_mistakes(pictures) == Mistakes()
    assert all(face.id for picture in pictures for face in picture.faces)


def test_a_clock_that_goes_back_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a device that has been started again."""
    sequence = PLAIN[0](np.random.default_rng(0))
    pictures = list(sequence.pictures(np.random.default_rng(0)))[:6]
    for picture, stamp in zip(pictures, (5.0, 5.1, 5.2, 3.0, 3.1, 3.2), strict=True):
        picture.stamp = stamp
    raw = pictures[3].faces[0].points.copy()
    stream = stream_of(monkeypatch, pictures, pose=True)
    stream.camera = CAMERA
    numbers = [{face.id for face in frame.faces} for frame in stream.frames()]  # type: ignore[union-attr]
    assert numbers == [{1, 2}] * 3 + [{3, 4}] * 3
    np.testing.assert_array_equal(pictures[3].faces[0].points, raw)
    assert all(face.pose is not None for picture in pictures for face in picture.faces)
