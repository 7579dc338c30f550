"""The peers: MediaPipe, and its networks alone in Google's runtime.

They run in separate environments, without this package.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from benchmarks.measurement import Contender, timed
from benchmarks.shared_image import RATE, map_image


def face_landmarker(
    image: str,
    shape: tuple[int, ...],
    *,
    task: str,
    video: bool,
    faces: int = 1,
    blendshapes: bool = False,
    pose: bool = False,
) -> Contender:
    """Return MediaPipe's FaceLandmarker on the images that another process shows.

    Its networks run on one thread each: that is XNNPACK's number on a Linux computer
    (GetXnnpackDefaultNumThreads in inference_calculator_utils.cc), and Python has no option for it.
    The graph around them hands its packets between threads, one per core that it may use.

    Args:
        image: path of the `SharedImage`.
        shape: its height, width and 3.
        task: path of the .task file.
        video: images are consecutive, and faces are tracked.
        faces: maximum number of faces to find.
        blendshapes: compute 52 scores of each face.
        pose: compute the transformation matrix of each face.
    """
    import mediapipe

    pixels = map_image(image, shape)
    vision = mediapipe.tasks.vision
    landmarker = vision.FaceLandmarker.create_from_options(
        vision.FaceLandmarkerOptions(
            base_options=mediapipe.tasks.BaseOptions(model_asset_path=task),
            running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
            num_faces=faces,
            output_face_blendshapes=blendshapes,
            output_facial_transformation_matrixes=pose,
        )
    )

    def detect(number: int) -> Any:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        if video:
            return landmarker.detect_for_video(image, number * 1000 // RATE)
        return landmarker.detect(image)

    height, width = shape[:2]
    return timed(detect, lambda result: _landmarks(result, width, height))


def tflite_network(model: str, image: str, shape: tuple[int, ...]) -> Contender:
    """Return a TFLite network on XNNPACK with one thread, on always the same image.

    Args:
        model: path of the .tflite file.
        image: path of an .npy file, uint8 (1, H, W, 3); the network gets it as numbers from 0 to
            1, which are made beforehand.
        shape: of the image.
    """
    from ai_edge_litert.interpreter import Interpreter

    del shape
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    (network_input,) = interpreter.get_input_details()
    outputs = [output["index"] for output in interpreter.get_output_details()]
    values = np.asarray(np.load(image), np.float32) / 255

    def run(_: int) -> Any:
        interpreter.set_tensor(network_input["index"], values)
        interpreter.invoke()
        return [interpreter.get_tensor(output) for output in outputs]

    return timed(run)


def _landmarks(result: Any, width: int, height: int) -> list[str]:
    """Return the landmarks of each face for JSON: base64 of float32 (478, 2) pixels."""
    return [
        base64.b64encode(
            np.array([(point.x * width, point.y * height) for point in face], np.float32).tobytes()
        ).decode()
        for face in result.face_landmarks
    ]
