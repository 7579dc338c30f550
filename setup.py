"""Builds the wheel with the same CMakeLists.txt that colcon uses, against the ROS 2 wheels of PyPI.

colcon does not read this file: package.xml says that this is an ament_cmake package.

The environment variable ROS_DISTRO chooses the ROS 2 wheels: jazzy (also when it is not set) or
kilted.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build import build
from setuptools.command.editable_wheel import editable_wheel

PACKAGE = "maix_facemesh_ros"
SOURCE = Path(__file__).resolve().parent
DISTROS_WITH_WHEELS = ("jazzy", "kilted")
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


def requirements(name: str) -> list[str]:
    """Read requirements/<name>.txt, without its comments."""
    lines = (SOURCE / "requirements" / f"{name}.txt").read_text().splitlines()
    stripped = (line.split("#")[0].strip() for line in lines)
    return [line for line in stripped if line]


def package_version() -> str:
    """Read the version from package.xml, the one place where it stands."""
    version = ElementTree.parse(SOURCE / "package.xml").findtext("version")
    if version is None:
        raise SystemExit("package.xml has no <version>.")
    return version


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
    """Tell whether an installed file goes next to the Python package, as data of the wheel."""
    left_out = any(file.match(pattern) for pattern in LEFT_OUT)
    return "site-packages" not in file.parts and not left_out


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
        """Give setuptools the Python package, and name the files for lib/, share/ and include/."""
        (python_package,) = stage.glob(f"lib/python3*/site-packages/{PACKAGE}")
        shutil.copytree(
            python_package,
            Path(self.build_lib) / PACKAGE,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        self.distribution.data_files = [
            (str(file.parent.relative_to(stage)), [str(file)])
            for file in sorted(stage.rglob("*"))
            if file.is_file() and belongs_in_wheel(file.relative_to(stage))
        ]


class NoEditableWheel(editable_wheel):
    """Says what to use instead of `pip install -e`."""

    def run(self) -> None:
        """Refuse: half of the package is made by CMake and has no place in the source folder."""
        raise SystemExit(
            f"{PACKAGE} can't be installed with pip install -e: use `make setup`, which needs "
            "seconds after a change, or `colcon build --symlink-install`."
        )


def main() -> None:
    """Describe the package to setuptools."""
    distro = chosen_distro()
    # Everything that a build leaves behind goes below build/.
    build_base = Path("build") / f"wheel-{distro}"
    (SOURCE / build_base).mkdir(parents=True, exist_ok=True)
    setup(
        version=package_version(),
        setup_requires=requirements(f"build-{distro}"),
        install_requires=requirements("run") + requirements(f"run-{distro}"),
        extras_require={name: requirements(name) for name in ("cluster", "parquet", "test")},
        # CMake decides what is installed.
        packages=[],
        py_modules=[],
        distclass=RosDistribution,
        cmdclass={
            "build": BuildWithCMake,
            "editable_wheel": NoEditableWheel,
        },
        options={
            "build": {"build_base": str(build_base)},
            "egg_info": {"egg_base": str(build_base)},
        },
    )


main()
