"""Runs the quick tests that need no ROS in a bare environment of each Python.

    python tools/check_without_ros.py python3.10 python3.13

Builds the wheel without ROS once. For each Python it makes a virtual environment, installs the
wheel, measures the environment, installs the extra `bags` and what the tests need, and runs
`pytest --quick --without-ros`. Prints one row of a table per Python; ends with 1 if one has failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]

#: What the tests import, in addition to the extra `bags`.
TEST_PACKAGES = ("pytest", "pytest-timeout", "scikit-image", "scipy")

MEGABYTE = 1_000_000


def main(pythons: list[str]) -> int:
    """Check each Python; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="without_ros_") as name:
        folder = Path(name)
        run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", name, str(SOURCE)])
        (wheel,) = folder.glob("*-py3-none-any.whl")
        print(f"{wheel.name}: {wheel.stat().st_size / MEGABYTE:.1f} MB")
        print("| Python | installed | tests |\n|---|---|---|", flush=True)
        passed = [
            check(python, wheel, folder / f"venv{number}") for number, python in enumerate(pythons)
        ]
    return 0 if all(passed) else 1


def check(python: str, wheel: Path, prefix: Path) -> bool:
    """Print the row of a Python; returns whether its tests have passed."""
    run([python, "-m", "venv", str(prefix)])
    own = str(prefix / "bin" / "python")
    before = size_of(prefix)
    run([own, "-m", "pip", "install", "--no-compile", str(wheel)])
    installed = (size_of(prefix) - before) / MEGABYTE
    run([own, "-m", "pip", "install", f"{wheel}[bags]", *TEST_PACKAGES])
    tests = [own, "-m", "pytest", "-q", "--quick", "--without-ros", "-m", "not build"]
    ended = subprocess.run(
        tests, cwd=SOURCE, capture_output=True, text=True, env=without_checkout()
    )
    lines = ended.stdout.splitlines() or [ended.stderr]
    version = run([own, "-c", "import platform; print(platform.python_version())"])
    print(f"| {version.strip()} | {installed:.0f} MB | {lines[-1]} |", flush=True)
    if ended.returncode:
        print(ended.stdout[-3000:], file=sys.stderr)
    return ended.returncode == 0


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    files = (file for file in folder.rglob("*") if not file.is_symlink())
    return sum(file.stat().st_size for file in files if file.is_file())


def run(command: list[str]) -> str:
    """Run a command, which must succeed, and return its output."""
    ended = subprocess.run(command, capture_output=True, text=True, env=without_checkout())
    if ended.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def without_checkout() -> dict[str, str]:
    """Return the environment without what would bring other packages in."""
    left_out = ("PYTHONPATH", "AMENT_PREFIX_PATH", "LD_LIBRARY_PATH")
    return {name: value for name, value in os.environ.items() if name not in left_out}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [sys.executable]))
