"""Selects the fastest file of a model for this machine; models/README.md describes the files.

onnxruntime's own kernels are fast where the channels of a network come in groups: of 16 with
AVX-512, of 8 with the x86 processors before it. On other processors it depends on the build.
"""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from maix_facemesh_ros.backends.onnx.network import CPU, writes_blocks
from maix_facemesh_ros.model_files import find_model

#: OpenCV's number for AVX-512 Foundation (CV_CPU_AVX_512F in opencv2/core/cvdef.h); its Python
#: module has no name for it.
CPU_AVX_512F = 13

#: Suffix of the model's file by the number of channels in a group. 1: there are no groups.
VARIANTS = {
    "face_landmarks": {16: "_wide", 8: "", 1: "_plain"},
    "face_detection_full_range": {16: "_wide", 8: "", 1: ""},
    "face_detection_short_range": {16: "_wide", 8: "", 1: ""},
}


def model_file(model: str, provider: str) -> Path:
    """Return the file of a model of `VARIANTS` for an execution provider on this machine.

    Raises:
        ModelError: the file is not installed.
    """
    group = channels_in_group() if provider == CPU else 1
    return find_model(f"{model}{VARIANTS[model][group]}.onnx")


@lru_cache(maxsize=1)
def channels_in_group() -> int:
    """Return the number of channels that onnxruntime groups on this processor.

    Source: onnxruntime/core/mlas/lib/platform.cpp, NchwcBlockSize. OpenCV asks the processor the
    same question.
    """
    if platform.machine().lower() in ("x86_64", "amd64"):
        return 16 if cv2.checkHardwareSupport(CPU_AVX_512F) else 8
    # An ARM build groups 16, if it groups at all (MLAS_USE_ARM_NEON_NCHWC).
    with TemporaryDirectory() as folder:
        blocks = writes_blocks(find_model("face_detection_short_range.onnx"), Path(folder))
    return 16 if blocks else 1
