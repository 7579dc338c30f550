"""Our networks and the same in Google's runtime: TFLite with XNNPACK, the floor in practice."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data

from benchmarks.clips import faces_clip
from benchmarks.downloads import (
    FACE_LANDMARKER_TASK,
    FOLDER,
    FULL_RANGE_TFLITE,
    DownloadError,
    read_from_task,
)
from benchmarks.environments import OURS, PEERS
from benchmarks.measurement import Contender, Figure, measure_by_turns
from benchmarks.options import Options
from benchmarks.report import Row, Section
from benchmarks.shared_image import SharedImage
from benchmarks.worker_process import NotMeasuredError, WorkerProcess

#: Networks of models/, the sizes of their input, and the most that their time may be of XNNPACK's.
#: The last two are those that the default detector uses on a 640x360 image; TFLite's run
#: at the size that they were published with only.
NETWORKS: tuple[tuple[str, int, int, float | None], ...] = (
    ("face_landmarks", 256, 256, 1.0),
    ("face_detection_short_range", 128, 128, 1.0),
    ("face_detection_full_range", 192, 192, 1.0),
    ("face_detection_full_range", 512, 288, None),
    ("face_detection_full_range", 96, 96, None),
)
PUBLISHED_SIZES = ((256, 256), (128, 128), (192, 192))

FLOOR_SIZE = (640, 360)


def measure(options: Options) -> Section:
    """Measure the networks alone, and a whole video frame against the landmark network alone."""
    skipped: list[str] = []
    models = _tflite_models(skipped)
    with ExitStack() as stack:
        ours = stack.enter_context(WorkerProcess(OURS))
        contenders: dict[str, Contender] = {}
        xnnpack = _start_xnnpack(stack, skipped)
        for model, width, height, _ in NETWORKS:
            title = f"{model} {width}x{height}"
            image_file = _image_file(width, height)
            contenders[title] = ours.open(title, "onnx_network", model=model, **image_file)
            if xnnpack and (width, height) in PUBLISHED_SIZES and model in models:
                try:
                    contenders[f"{title}, XNNPACK"] = xnnpack.open(
                        title, "tflite_network", model=str(models[model]), **image_file
                    )
                except NotMeasuredError as error:
                    skipped.append(f"{title} in XNNPACK: {error}")
        image = SharedImage(faces_clip(*FLOOR_SIZE))
        stack.callback(image.close)
        contenders["video"] = ours.open(
            "video",
            "face_mesh",
            image=image.path,
            shape=image.shape,
            max_face_num=1,
            tracking=True,
            threads=1,
        )
        measured = measure_by_turns(contenders, options.rounds, image.show)
    figures = {name: Figure.milliseconds(times.wall) for name, times in measured.items()}
    rows = []
    for model, width, height, limit in NETWORKS:
        title = f"{model} {width}x{height}"
        peer = figures.get(f"{title}, XNNPACK")
        rows.append(
            Row(title, figures[title], "XNNPACK", peer, limit=limit)
            if peer
            else Row(title, figures[title])
        )
    floor = figures.get("face_landmarks 256x256, XNNPACK")
    if floor:
        rows.append(
            Row(
                "a whole frame of a 640x360 video, one face",
                figures["video"],
                "floor: XNNPACK's landmarks alone",
                floor,
            )
        )
    return Section("networks", "networks alone, one thread; the floor in practice", rows, skipped)


def _start_xnnpack(stack: ExitStack, skipped: list[str]) -> WorkerProcess | None:
    try:
        return stack.enter_context(WorkerProcess(PEERS))
    except NotMeasuredError as error:
        skipped.append(f"XNNPACK: {error}")
        return None


def _tflite_models(skipped: list[str]) -> dict[str, Path]:
    """Return the published networks, by the name of ours."""
    task = FACE_LANDMARKER_TASK.fetch()
    models = {}
    for name, inside in (
        ("face_landmarks", "face_landmarks_detector.tflite"),
        ("face_detection_short_range", "face_detector.tflite"),
    ):
        models[name] = FOLDER / inside
        models[name].write_bytes(read_from_task(task, inside))
    try:
        models["face_detection_full_range"] = FULL_RANGE_TFLITE.fetch()
    except DownloadError as error:
        skipped.append(f"the full-range network in XNNPACK: {error}")
    return models


def _image_file(width: int, height: int) -> dict[str, Any]:
    """Write an image with a face in it, uint8 (1, height, width, 3); say where it is."""
    image = cv2.resize(skimage.data.astronaut(), (width, height), interpolation=cv2.INTER_AREA)
    file = FOLDER / f"input_{width}x{height}.npy"
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.save(file, image[np.newaxis])
    return {"image": str(file), "shape": (1, height, width, 3)}
