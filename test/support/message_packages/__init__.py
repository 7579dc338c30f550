"""Message packages that every ROS 2 has and PyPI has not, built where the tests need them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: By package: the packages that its messages use. Their definitions are the originals'.
PACKAGES = {
    "ffmpeg_image_transport_msgs": ("std_msgs",),
    "foxglove_msgs": ("builtin_interfaces",),
    "hri_msgs": ("std_msgs",),
    "tf2_msgs": ("geometry_msgs",),
    "vision_msgs": ("geometry_msgs", "std_msgs"),
}

_HERE = Path(__file__).resolve().parent


def build_message_package(package: str, folder: Path, only: str = "") -> dict[str, str]:
    """Build one of `PACKAGES` in a folder; returns the environment in which a process has it.

    The prefix is `folder / "prefix"`: two packages built into one folder are there together.

    Args:
        package: its name.
        folder: is written into.
        only: the one message that is built; empty: all.
    """
    source, build, prefix = folder / package, folder / f"build_{package}", folder / "prefix"
    shutil.copytree(_HERE / package, source)
    for file in (source / "msg").iterdir():
        if only not in ("", file.stem):
            file.unlink()
    shutil.copy(_HERE / "CMakeLists.txt", source)
    environment = {**os.environ, "AMENT_PREFIX_PATH": sys.prefix}
    cmake = [Path(sys.prefix) / "bin" / "cmake"]
    configure = [
        *("-S", source, "-B", build, f"-DPACKAGE={package}"),
        f"-DDEPENDENCIES={';'.join(PACKAGES[package])}",
        f"-DCMAKE_INSTALL_PREFIX={prefix}",
        f"-DCMAKE_PREFIX_PATH={sys.prefix}",
        f"-DPython3_EXECUTABLE={sys.executable}",
    ]
    for arguments in (
        configure,
        ["--build", build, "--target", "install", "--parallel", "2"],
    ):
        finished = subprocess.run(
            [*map(str, cmake), *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
    (python,) = prefix.glob("lib/python3*/site-packages")
    paths = {
        "PYTHONPATH": python,
        "LD_LIBRARY_PATH": prefix / "lib",
        "AMENT_PREFIX_PATH": prefix,
    }
    return {
        name: os.pathsep.join(filter(None, [str(path), os.environ.get(name)]))
        for name, path in paths.items()
    }
