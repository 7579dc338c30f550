"""The package with the versions of Ubuntu 22.04, which ROS 2 Humble runs on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from installation import SOURCE

pytestmark = pytest.mark.build

#: Variables of the environment that runs the tests: another one must not see them.
OF_THIS_ENVIRONMENT = (
    "AMENT_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "ROS_DISTRO",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)

#: NumPy, OpenCV, SciPy and Tornado of Ubuntu 22.04.
VERSIONS = "1.21.5 4.5.4 1.8.0 6.1"
PRINT_VERSIONS = (
    "import numpy, cv2, scipy, tornado;"
    "print(numpy.__version__, cv2.__version__, scipy.__version__, tornado.version)"
)


def python_3_10() -> str | None:
    """Return a Python 3.10 that starts: pyenv's `python3.10` on the PATH may not."""
    of_pyenv = (Path.home() / ".pyenv" / "versions").glob("3.10.*/bin/python3.10")
    for found in (shutil.which("python3.10"), *map(str, of_pyenv)):
        if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
            return found
    return None


def test_node_and_view_run_with_the_versions_of_ubuntu_22_04() -> None:
    python_of_jammy = python_3_10()
    if python_of_jammy is None:
        pytest.skip("there is no Python 3.10")
    kept = {name: value for name, value in os.environ.items() if name not in OF_THIS_ENVIRONMENT}
    folder = SOURCE / ".venv-jammy"
    set_up = [python_of_jammy, "tools/set_up.py", "jammy", "--folder", folder.name]
    subprocess.run(set_up, env=kept, cwd=SOURCE, check=True, timeout=900)

    python = folder / "bin" / "python"
    versions = subprocess.run(
        [python, "-c", PRINT_VERSIONS], env=kept, capture_output=True, text=True, check=True
    )
    tests = subprocess.run(
        [python, "-m", "pytest", "-q", "test/ros/test_distros.py", "test/test_face_mesh.py"],
        env={**kept, "AMENT_PREFIX_PATH": str(folder)},
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert versions.stdout.strip() == VERSIONS
    assert tests.returncode == 0, tests.stdout[-4000:]
