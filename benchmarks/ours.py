"""What is measured of this package: `FaceMesh`, its networks alone, and its stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from benchmarks.clips import RATE
from benchmarks.measurement import Contender
from maix_facemesh_ros import Face, FaceMesh
from maix_facemesh_ros.backends.onnx import face_landmarks
from maix_facemesh_ros.backends.onnx.network import Network
from maix_facemesh_ros.face import FloatArray, Picture
from maix_facemesh_ros.model_files import find_model

#: The steps of a tracked face, and what does them: an object or module, and a name in it.
STAGES: dict[str, tuple[Any, str]] = {
    "crop": (face_landmarks, "crop"),
    "to tensor": (face_landmarks, "picture_tensor"),
    "network": (Network, "run"),
}
REST = "rest"


def face_mesh(clip: Sequence[Picture], detector: str, *, tracking: bool) -> Contender:
    """Return `FaceMesh` on a video, for one face and on one thread."""
    mesh = FaceMesh(max_face_num=1, tracking=tracking, detector=detector, threads=1)

    def step(number: int) -> list[Face]:
        return mesh.process(clip[number % len(clip)], number / RATE)

    return Contender(step, _only_face)


def network(file: str, tensor: FloatArray) -> Contender:
    """Return one of the networks of models/, on always the same input (1, 3, H, W)."""
    height, width = tensor.shape[2:]
    loaded = Network(find_model(file), dimensions={"width": width, "height": height})
    return Contender(lambda _: loaded.run(tensor))


class StageTimes:
    """Times the stages of `FaceMesh` on a video with tracking, beside the contenders."""

    def __init__(self, clip: Sequence[Picture], detector: str) -> None:
        self._process = face_mesh(clip, detector, tracking=True).step
        self._seconds = dict.fromkeys(STAGES, 0.0)

    def contender(self) -> Contender:
        """Return the contender whose answers are the seconds of each stage of a picture."""
        return Contender(self._step, dict)

    def _step(self, number: int) -> dict[str, float]:
        self._seconds = dict.fromkeys(STAGES, 0.0)
        with self._stopwatches():
            start = time.perf_counter()
            self._process(number)
            total = time.perf_counter() - start
        return {**self._seconds, REST: total - sum(self._seconds.values())}

    @contextmanager
    def _stopwatches(self) -> Iterator[None]:
        with ExitStack() as stack:
            for stage, (owner, name) in STAGES.items():
                timed = self._timed(stage, getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, timed))
            yield

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                self._seconds[stage] += time.perf_counter() - start

        return timed


def _only_face(faces: list[Face]) -> FloatArray | None:
    return faces[0].points if faces else None
