"""Packages that may be missing from a machine, and the command that installs them.

With ROS 2 installed, rosdep installs the packages in package.xml. All others are optional, and come
from pip: `PIP_PACKAGES`.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

#: By the name of the module: pip's package. No rosdep key leads to a package of a distribution.
PIP_PACKAGES = {
    "apsw": "apsw",
    "lz4": "lz4",
    "mcap": "mcap",
    "onnxruntime": "onnxruntime",
    "rosbags": "rosbags",
    "zstandard": "zstandard",
}

#: The same for single outputs and options.
EXTRA_PIP_PACKAGES = {"av": "av", "distributed": "distributed", "pyarrow": "pyarrow"}

#: By the name of the module: the package of Debian and Ubuntu, and pip's. NumPy and OpenCV are not
#: here: without them this package cannot be imported.
SYSTEM_PACKAGES = {
    "tornado": ("python3-tornado", "tornado"),
    "tqdm": ("python3-tqdm", "tqdm"),
    "yaml": ("python3-yaml", "pyyaml"),
}

#: Endings of the names of ROS 2 packages, and names without them.
ROS_ENDINGS = ("_msgs", "_interfaces")
ROS_PACKAGES = ("ament_index_python", "rclpy")


def how_to_install(module: str, also: tuple[str, ...] = ()) -> str | None:
    """Return the command that installs a missing module, such as "pip install mcap".

    Args:
        module: its name.
        also: other modules of `PIP_PACKAGES` that are used with it: the same command installs those
            that are missing too.

    Returns:
        None for a module that this package does not know.
    """
    if module in PIP_PACKAGES:
        missing = [name for name in also if name != module and find_spec(name) is None]
        return pip_install(*(PIP_PACKAGES[name] for name in (module, *missing)))
    if module in EXTRA_PIP_PACKAGES:
        return pip_install(EXTRA_PIP_PACKAGES[module])
    if module in SYSTEM_PACKAGES:
        debian, pip = SYSTEM_PACKAGES[module]
        return pip_install(pip) if _in_virtual_environment() else f"sudo apt install {debian}"
    if module == "maix_facemesh_ros.msg":
        return (
            "build this package with colcon, and source install/setup.bash"
            + _or_the_wheel_with_messages()
        )
    package = module.partition(".")[0]
    if package in ROS_PACKAGES or package.endswith(ROS_ENDINGS):
        return (
            "source the setup.bash of a ROS 2 that has it, or install "
            f"ros-$ROS_DISTRO-{package.replace('_', '-')}" + _or_the_wheel_with_messages()
        )
    return None


def _or_the_wheel_with_messages() -> str:
    """Return the other way, for those who have no ROS."""
    return (
        "; without an installed ROS: pip install ./ros_wheel" if _in_virtual_environment() else ""
    )


def pip_install(*packages: str) -> str:
    """Return pip's command for some packages.

    It keeps NumPy 1 where that is installed: a newer one would come with onnxruntime, and OpenCV
    and SciPy of Ubuntu 22.04 and 24.04, which are compiled for NumPy 1, fail with it.
    """
    hold = ' "numpy<2"' if "onnxruntime" in packages and _has_numpy_1() else ""
    return f"pip install {' '.join(packages)}{hold}"


def _has_numpy_1() -> bool:
    # It takes longer to import than all that a program's help needs.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("numpy").startswith("1.")
    except PackageNotFoundError:
        return False


def _in_virtual_environment() -> bool:
    return sys.prefix != sys.base_prefix
