"""What this package is measured against: MediaPipe, and its networks alone in Google's runtime."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mediapipe
import numpy as np

from benchmarks.clips import RATE
from benchmarks.measurement import Contender
from maix_facemesh_ros.face import FloatArray, Picture


def face_landmarker(clip: Sequence[Picture], task: Path, *, video: bool) -> Contender:
    """Return MediaPipe's FaceLandmarker on a video, for one face.

    Its networks run on one thread each: that is XNNPACK's number on a Linux computer
    (GetXnnpackDefaultNumThreads in inference_calculator_utils.cc), and Python has no option for it.
    The graph around them hands its packets between threads, one per core that it may use.
    """
    vision = mediapipe.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(task)),
        running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
        num_faces=1,
        output_face_blendshapes=False,
        output_facial_transformation_matrixes=False,
    )
    landmarker = vision.FaceLandmarker.create_from_options(options)

    def image(number: int) -> Any:
        picture = clip[number % len(clip)]
        return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)

    def step(number: int) -> Any:
        if video:
            return landmarker.detect_for_video(image(number), number * 1000 // RATE)
        return landmarker.detect(image(number))

    height, width = clip[0].shape[:2]
    return Contender(step, lambda result: _only_face(result, width, height))


def tflite_network(model: bytes, tensor: FloatArray) -> Contender:
    """Return a TFLite network on XNNPACK, on always the same input.

    Args:
        model: the .tflite file.
        tensor: (1, 3, H, W) as for the ONNX network; it is turned to (1, H, W, 3) beforehand.

    Raises:
        ImportError: there is no ai-edge-litert for this Python.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (picture,) = interpreter.get_input_details()
    outputs = [output["index"] for output in interpreter.get_output_details()]
    channels_last = np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))

    def step(_: int) -> list[FloatArray]:
        interpreter.set_tensor(picture["index"], channels_last)
        interpreter.invoke()
        return [interpreter.get_tensor(output) for output in outputs]

    return Contender(step)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Google's libraries write past Python to standard error when they start."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _only_face(result: Any, width: int, height: int) -> FloatArray | None:
    if not result.face_landmarks:
        return None
    points = [(point.x * width, point.y * height) for point in result.face_landmarks[0]]
    return np.array(points, np.float32)
