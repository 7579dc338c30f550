"""Builds the wheel with the messages: ros_wheel/setup.py runs it.

It runs the CMakeLists.txt that colcon uses too, against the ROS 2 wheels of PyPI.

The environment variable ROS_DISTRO chooses the ROS 2 wheels: jazzy (also when it is not set) or
kilted; the distribution is called maix_facemesh_ros_jazzy or _kilted. It requires the wheel without
ROS, and adds the messages, launch files and the entries of the ament index. docs/wheels.md has the
reasons.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build import build

from wheel_metadata import (
    DISTROS_WITH_WHEELS,
    PACKAGE,
    SHARED,
    SOURCE,
    package_version,
    requirements,
    ros_distribution,
)

NEWEST_PYTHON_WITH_WHEELS = (3, 13)

# What CMake installs to be sourced by a shell. It names folders of the machine that built it, and
# a venv of ROS 2 wheels is not sourced.
LEFT_OUT = (
    f"share/{PACKAGE}/local_setup.*",
    "share/ament_index/resource_index/parent_prefix_path/*",
)


def chosen_distro() -> str:
    """Return the ROS distribution whose wheels the package is built against."""
    distro = os.environ.get("ROS_DISTRO") or "jazzy"
    if distro not in DISTROS_WITH_WHEELS:
        raise SystemExit(
            f"There are no ROS 2 {distro} wheels on PyPI: build {PACKAGE} with colcon, or set "
            f"ROS_DISTRO to one of {', '.join(DISTROS_WITH_WHEELS)}."
        )
    if platform.machine() != "x86_64":
        raise SystemExit(
            f"The ROS 2 wheels on PyPI are for x86_64 only and this is {platform.machine()}: "
            f"build {PACKAGE} with colcon."
        )
    if sys.version_info[:2] > NEWEST_PYTHON_WITH_WHEELS:
        raise SystemExit(
            f"The ROS 2 {distro} wheels on PyPI are for Python 3.10 to 3.13 and this is "
            f"{platform.python_version()}: build {PACKAGE} with colcon, or use an older Python."
        )
    return distro


def ros_prefix() -> Path:
    """Return the folder that holds share/ and lib/ of the ROS 2 wheels.

    That is sys.prefix in a venv, but some other folder when pip builds in isolation.
    """
    import ament_package

    # <prefix>/lib/python3.x/site-packages/ament_package/__init__.py
    return Path(ament_package.__file__).resolve().parents[4]


def cmake(*arguments: str | Path, prefix: Path) -> None:
    """Run the CMake of the PyPI package, with nothing of a sourced ROS in its environment."""
    from cmake import CMAKE_BIN_DIR

    environment = {**os.environ, "AMENT_PREFIX_PATH": str(prefix)}
    environment.pop("CMAKE_PREFIX_PATH", None)
    subprocess.run([Path(CMAKE_BIN_DIR) / "cmake", *arguments], env=environment, check=True)


def forget_other_prefix(folder: Path, prefix: Path) -> None:
    """Empty CMake's build folder if it was made for the ROS wheels of another prefix."""
    record = folder / "ros_prefix.txt"
    if not record.exists() or record.read_text() != str(prefix):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        record.write_text(str(prefix))


def belongs_in_wheel(file: Path) -> bool:
    """Tell whether an installed file goes next to the Python package, as data of the wheel.

    Not what the wheel without ROS has: two distributions must not install the same file.
    """
    left_out = any(file.match(pattern) for pattern in LEFT_OUT)
    shared = file.parts[:2] == ("share", PACKAGE) and file.parts[2] in SHARED
    # rosidl adds other descriptions of the messages.
    shared = shared and (file.parts[2] != "msg" or file.suffix == ".msg")
    return "site-packages" not in file.parts and not left_out and not shared


class RosDistribution(Distribution):
    """A distribution whose compiled code comes from CMake, where setuptools sees none of it."""

    def has_ext_modules(self) -> bool:
        """Make the wheel one for this platform and this Python."""
        return True


class BuildWithCMake(build):
    """Builds and installs with CMake into a folder from which the wheel is then filled."""

    def run(self) -> None:
        """Configure, build, install, and collect what was installed."""
        super().run()
        prefix = ros_prefix()
        folder = Path(self.build_temp).resolve() / "cmake"
        stage = Path(self.build_temp).resolve() / "stage"
        forget_other_prefix(folder, prefix)
        cmake(
            "-S", SOURCE,
            "-B", folder,
            f"-DCMAKE_INSTALL_PREFIX={stage}",
            f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DPython3_EXECUTABLE={sys.executable}",
            "-DCMAKE_BUILD_TYPE=Release",
            "-DBUILD_TESTING=OFF",
            "-DCMAKE_INSTALL_MESSAGE=NEVER",
            "--log-level=WARNING",
            prefix=prefix,
        )  # fmt: skip
        # A file that is gone from the source must not live on in the wheel.
        shutil.rmtree(stage, ignore_errors=True)
        shutil.rmtree(self.build_lib, ignore_errors=True)
        jobs = str(os.cpu_count() or 1)
        cmake("--build", folder, "--target", "install", "--parallel", jobs, prefix=prefix)
        self.collect(stage)

    def collect(self, stage: Path) -> None:
        """Give setuptools the messages, and name the files for lib/, share/ and include/."""
        (python_package,) = stage.glob(f"lib/python3*/site-packages/{PACKAGE}")
        for file in sorted(python_package.rglob("*")):
            name = file.relative_to(python_package)
            # All others are in the wheel without ROS.
            is_ours = name.parts[0] == "msg" or file.suffix == ".so"
            if is_ours and file.is_file() and "__pycache__" not in name.parts:
                target = Path(self.build_lib) / PACKAGE / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        self.distribution.data_files = [
            (str(file.parent.relative_to(stage)), [str(file)])
            for file in sorted(stage.rglob("*"))
            if file.is_file() and belongs_in_wheel(file.relative_to(stage))
        ]


def main() -> None:
    """Describe the distribution to setuptools."""
    distro = chosen_distro()
    version = package_version()
    # Everything that a build leaves behind goes below build/.
    build_base = SOURCE / "build" / f"wheel-{distro}"
    build_base.mkdir(parents=True, exist_ok=True)
    setup(
        name=ros_distribution(distro),
        version=version,
        description=f"The messages of {PACKAGE} for the ROS 2 {distro.title()} wheels of PyPI",
        license="Apache-2.0",
        python_requires=">=3.10,<3.14",
        setup_requires=requirements(f"build-{distro}"),
        install_requires=[f"{PACKAGE}[bags]=={version}", *requirements(f"run-{distro}")],
        # CMake decides what is installed.
        packages=[],
        py_modules=[],
        distclass=RosDistribution,
        cmdclass={"build": BuildWithCMake},
        options={
            "build": {"build_base": str(build_base)},
            "egg_info": {"egg_base": str(build_base)},
        },
    )
