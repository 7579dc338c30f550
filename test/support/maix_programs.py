"""Programs that run with the stand-in for MaixPy, each in a process of its own.

So `maix` gets into none but theirs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

STAND_IN = Path(__file__).resolve().parent / "maix_stand_in"

#: What the programs have in common.
BEFORE = """
import json, sys, threading, time
import cv2
import numpy as np
from skimage.data import astronaut
from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.backends.maix.detector import MaixFaceDetector
from maix_facemesh_ros.image import Image, ImageError, Stamp
from maix_facemesh_ros.parameters import FaceMeshParameters
from maix_facemesh_ros.sources.base import SourceError
from maix_facemesh_ros.backends.maix.camera import MaixCamera

answer = {}

def detect(image, detector=None, bgr=False, **values):
    parameters = FaceMeshParameters(backend="maix", **values)
    image = Image(image, "bgr" if bgr else "rgb", Stamp(0, 0))
    return (detector or MaixFaceDetector(parameters)).detect(image, parameters)

def scene(size=(640, 480), middle=(320, 240), scale=2.0, degrees=0.0):
    move = cv2.getRotationMatrix2D((225, 130), degrees, scale)
    move[:, 2] += (middle[0] - 225, middle[1] - 130)
    return cv2.warpAffine(astronaut(), move, size, flags=cv2.INTER_AREA)
"""
AFTER = """
print("answer:", json.dumps(answer))
"""


def environment(**knobs: object) -> dict[str, str]:
    """Return that of a MaixCAM2, as far as the stand-in can say so."""
    knobs = {"DEVICE_NAME": "MaixCAM2", **knobs}
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(STAND_IN), os.environ.get("PYTHONPATH")])),
        **{f"MAIX_STAND_IN_{name}": str(value) for name, value in knobs.items()},
    }


def run(program: str, **knobs: object) -> Any:
    """Run a program; returns what it has put into `answer`."""
    finished = subprocess.run(
        [sys.executable, "-c", BEFORE + textwrap.dedent(program) + AFTER],
        env=environment(**knobs),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return json.loads(finished.stdout.rpartition("answer:")[2])
