"""`facemesh info`: versions, backends, models and missing packages, for bug reports."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from maix_facemesh_ros import __version__
from maix_facemesh_ros.missing_packages import how_to_install
from maix_facemesh_ros.model_files import ModelError, find_model
from maix_facemesh_ros.processors import usable_processors
from maix_facemesh_ros.programs.start import BAGS

#: Distributions whose version is printed, by the name of their module.
LIBRARIES = {
    "numpy": ("numpy",),
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "tornado": ("tornado",),
    "mcap": ("mcap",),
    "rosbags": ("rosbags",),
    "av": ("av",),
}

#: Modules that the ROS programs need.
ROS_MODULES = ("rclpy", "sensor_msgs", "maix_facemesh_ros.msg")

#: Models of all detectors and features.
MODELS = (
    *("face_landmarks.onnx", "face_detection_full_range.onnx"),
    *("face_detection_short_range.onnx", "face_blendshapes.onnx"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the facts, one per line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="facemesh info", description=__doc__)
    parser.parse_args(arguments)
    for name, fact in facts():
        print(f"{name + ':':20} {fact}")
    return 0


def facts() -> Iterator[tuple[str, str]]:
    """Yield the facts in order, each with its name."""
    yield "maix_facemesh_ros", __version__
    yield "Python", f"{platform.python_version()} at {sys.executable}"
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield "processors", f"{usable_processors()} of {os.cpu_count()} may be used"
    for module, distributions in LIBRARIES.items():
        yield module, _version_of(module, distributions)
    yield "execution providers", _providers()
    yield "MaixPy", "there" if find_spec("maix") else "not here: this is not a MaixCAM"
    yield "ROS distribution", os.environ.get("ROS_DISTRO", "not named by ROS_DISTRO")
    for module in ROS_MODULES:
        yield module, "there" if _is_there(module) else f"missing: {how_to_install(module)}"
    yield "models", _models()
    missing = [name for name in BAGS if not _is_there(name)]
    advice = how_to_install(missing[0], tuple(missing)) if missing else ""
    yield "bags", f"missing: {advice}" if missing else "can be read and written"


def _version_of(module: str, distributions: Sequence[str]) -> str:
    if not _is_there(module):
        return f"missing: {how_to_install(module) or 'not known to pip'}"
    from importlib.metadata import PackageNotFoundError, version

    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "there, its version is not known to pip"


def _providers() -> str:
    if not _is_there("onnxruntime"):
        return "none: backend onnx needs onnxruntime"
    from maix_facemesh_ros.backends.onnx.network import available_providers

    return ", ".join(available_providers())


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _models() -> str:
    try:
        folders = {find_model(model).parent for model in MODELS}
        return ", ".join(map(str, sorted(folders)))
    except ModelError as error:
        return str(error)
