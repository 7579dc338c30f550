"""What the two wheels have in common: setup.py builds one, ros_wheel/setup.py the other."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

PACKAGE = "maix_facemesh_ros"
SOURCE = Path(__file__).resolve().parents[1]

#: ROS distributions with wheels on PyPI.
DISTROS_WITH_WHEELS = ("jazzy", "kilted")

#: Files and folders of share/maix_facemesh_ros that programs need without ROS too: the definitions
#: of the messages, for example, are in each bag.
SHARED = ("config", "examples", "maixcam_app", "models", "msg", "package.xml")


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


def ros_distribution(distro: str) -> str:
    """Return the name of the distribution with the messages for a ROS distribution."""
    return f"{PACKAGE}_{distro}"
