"""Contenders of this package: `FaceMesh`, and its networks alone."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import cv2
import numpy as np

from benchmarks.measurement import Contender, timed
from benchmarks.shared_image import RATE, map_image
from maix_facemesh_ros import Face, FaceMesh
from maix_facemesh_ros.backends.onnx.network import CPU, Network
from maix_facemesh_ros.backends.onnx.variants import model_file
from maix_facemesh_ros.camera.model import CameraModel

cv2.setNumThreads(1)  # else it would cut out a face with all cores


def face_mesh(
    image: str, shape: tuple[int, ...], *, watch_networks: bool = False, **parameters: Any
) -> Contender:
    """Return `FaceMesh` on the images that another process shows.

    Args:
        image: path of the `SharedImage`.
        shape: its height, width and 3.
        watch_networks: answer with the seconds inside networks instead of with the faces.
        **parameters: of `FaceMesh`.
    """
    pixels = map_image(image, shape)
    mesh = FaceMesh(**parameters)
    if parameters.get("pose"):
        height, width = shape[:2]
        mesh.camera = CameraModel.from_calibration(
            width, height, (width, 0, width / 2, 0, width, height / 2, 0, 0, 1), (), ""
        )

    def process(number: int) -> list[Face]:
        return mesh.process(pixels, number / RATE)

    if not watch_networks:
        return timed(process, landmarks_of)

    def process_watched(number: int) -> list[float]:
        with _seconds_in_networks() as seconds:
            process(number)
        return seconds

    return timed(process_watched, sum)


def network(model: str, image: str, shape: tuple[int, ...]) -> Contender:
    """Return one of the networks of models/, on always the same image.

    Args:
        model: its name; the fastest of its files in models/ for this machine is used.
        image: path of an .npy file, uint8 (1, H, W, 3).
        shape: of the image.
    """
    height, width = shape[1:3]
    loaded = Network(model_file(model, CPU), dimensions={"width": width, "height": height})
    values = np.load(image)
    return timed(lambda _: loaded.run(values))


def landmarks_of(faces: list[Face]) -> list[str]:
    """Return the landmarks of each face for JSON: base64 of float32 (478, 2) pixels."""
    return [
        base64.b64encode(np.ascontiguousarray(face.points, np.float32).tobytes()).decode()
        for face in faces
    ]


@contextmanager
def _seconds_in_networks() -> Iterator[list[float]]:
    seconds: list[float] = []
    run = Network.run

    def timed_run(self: Network, *arguments: Any, **keywords: Any) -> Any:
        start = time.perf_counter()
        try:
            return run(self, *arguments, **keywords)
        finally:
            seconds.append(time.perf_counter() - start)

    with mock.patch.object(Network, "run", timed_run):
        yield seconds
