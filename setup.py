"""Builds the wheel without ROS: pure Python, for every machine. docs/wheels.md has the reasons.

The messages and everything else of ROS are in a second distribution, which ros_wheel/setup.py
builds. colcon reads neither: package.xml says that this is an ament_cmake package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from setuptools import find_packages, setup

SOURCE = Path(__file__).resolve().parent
sys.path.insert(0, str(SOURCE / "tools"))

from wheel_metadata import (  # noqa: E402
    DISTROS_WITH_WHEELS,
    PACKAGE,
    SHARED,
    package_version,
    requirements,
    ros_distribution,
)

#: Optional requirements, each a file in requirements/.
EXTRAS = ("bags", "cluster", "parquet", "test", "video")

#: Without requirements: the browser view needs Tornado only, which the package requires anyway. pip
#: warns of an extra that does not exist, and those who want the view may well ask for it.
VIEW: dict[str, list[str]] = {"view": []}


def shared_files() -> Iterator[tuple[str, list[str]]]:
    """Yield the folders below the environment's share/, each with its files."""
    for name in SHARED:
        top = SOURCE / name
        files = sorted(top.rglob("*")) if top.is_dir() else [top]
        for file in files:
            if file.is_file() and is_shared(file):
                folder = Path("share", PACKAGE, file.parent.relative_to(SOURCE))
                yield folder.as_posix(), [file.relative_to(SOURCE).as_posix()]


def is_shared(file: Path) -> bool:
    """Tell whether a file is installed: of models/ the networks and their licenses only."""
    parts = file.relative_to(SOURCE).parts
    if "__pycache__" in parts or "conversion" in parts:
        return False
    return parts[0] != "models" or file.suffix in (".onnx", ".md") or file.name == "LICENSE"


def main() -> None:
    """Describe the package to setuptools."""
    version = package_version()
    ros = {f"ros-{d}": [f"{ros_distribution(d)}=={version}"] for d in DISTROS_WITH_WHEELS}
    # Everything that a build leaves behind goes below build/.
    build_base = Path("build") / "wheel"
    (SOURCE / build_base).mkdir(parents=True, exist_ok=True)
    setup(
        version=version,
        install_requires=requirements("run"),
        extras_require={**{name: requirements(name) for name in EXTRAS}, **VIEW, **ros},
        packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"], exclude=[f"{PACKAGE}.msg"]),
        package_data={PACKAGE: ["py.typed"], f"{PACKAGE}.browser": ["page/**/*"]},
        include_package_data=False,
        data_files=list(shared_files()),
        options={
            "build": {"build_base": str(build_base)},
            "egg_info": {"egg_base": str(build_base)},
        },
    )


main()
