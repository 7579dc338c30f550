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

    def __init__(self, images: Sequence[Seen]) -> None:
        self._images = images

    def frames(self) -> Iterator[FaceFrame]:
        for image in self._images:
            yield FaceFrame(image.stamp, *SIZE, image.faces)


def stream_of(monkeypatch: pytest.MonkeyPatch, images: Sequence[Seen], **values: Any) -> FaceStream:
    monkeypatch.setattr(face_stream, "open_face_source", lambda *_: Device(images))
    return FaceStream(
        NodeParameters(backend="maixcam", maixcam_address="device", maixcam_token="t", **values)
    )


@pytest.mark.parametrize("scene", PLAIN)
def test_everyone_keeps_his_id(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence: FaceSequence = scene(np.random.default_rng(3))
    images = list(sequence.images(np.random.default_rng(3)))
    for _ in stream_of(monkeypatch, images, smoothing="off").frames():
        pass
    assert count_mistakes(images) == Mistakes()
    assert all(face.id for image in images for face in image.faces)


def test_a_clock_that_goes_back_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a device that has been started again."""
    sequence = PLAIN[0](np.random.default_rng(0))
    images = list(sequence.images(np.random.default_rng(0)))[:6]
    for image, stamp in zip(images, (5.0, 5.1, 5.2, 3.0, 3.1, 3.2), strict=True):
        image.stamp = stamp
    raw = images[3].faces[0].points.copy()
    stream = stream_of(monkeypatch, images, pose=True)
    stream.camera = CAMERA
    numbers = [{face.id for face in frame.faces} for frame in stream.frames()]  # type: ignore[union-attr]
    assert numbers == [{1, 2}] * 3 + [{3, 4}] * 3
    np.testing.assert_array_equal(images[3].faces[0].points, raw)
    assert all(face.pose is not None for image in images for face in image.faces)
