"""Runs the Python package on an emulated ARM processor and compares its results with this one's.

    sudo apt install debootstrap qemu-user-static
    sudo .venv/bin/python test/support/emulated_arm64.py
    sudo .venv/bin/python test/support/emulated_arm64.py --tests test/browser/test_browser_server.py

It takes some ten minutes, and needs root, Debian's packages and PyPI: `make test` does not run it.
The emulated system is a Debian 12 for arm64 whose packages are only unpacked, because configuring
them takes longer than all the rest, with the wheels for aarch64 of the versions that this
environment has. It stays in build/arm64 for the next time.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from recorded_bags import camera_messages, scene, write_bag

SOURCE = Path(__file__).resolve().parents[2]
DEBIAN = "bookworm"
#: The Python of that Debian.
PYTHON = "3.11"
MIRROR = "http://deb.debian.org/debian"

#: What the package needs without ROS (requirements/run.txt), and its tests.
WHEELS = (
    "mcap", "numpy", "onnxruntime", "opencv-python-headless", "pyyaml", "rosbags", "scipy",
    "tornado", "tqdm", "pytest", "scikit-image",
)  # fmt: skip

#: Where binaries of other processors are given an interpreter, and Debian's line for this one.
BINFMT = Path("/proc/sys/fs/binfmt_misc")
INTERPRETER = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")

#: Largest difference of a landmark allowed, as a part of the distance between the eyes.
TOLERANCE = 1e-4
#: Outer corners of the eyes.
EYES = (33, 263)


def main() -> int:
    """Make the system, run, compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, default=SOURCE / "build" / "arm64")
    parser.add_argument("--tests", nargs="+", default=[], help="run these with pytest instead")
    parsed = parser.parse_args()
    system = parsed.folder.absolute() / "system"
    if not (system / "complete").exists():
        make_system(system)
    with interpreter_registered():
        if parsed.tests:
            run_there(system, "/src", "python3", "-m", "pytest", *NO_CACHE, *parsed.tests)
            return 0
        return compare(system, parsed.folder.absolute() / "work")


NO_CACHE = ("-p", "no:cacheprovider")


def make_system(system: Path) -> None:
    """Unpack a Debian for arm64, and the wheels."""
    shutil.rmtree(system, ignore_errors=True)
    system.mkdir(parents=True)
    run(
        "debootstrap", "--arch=arm64", "--foreign", "--variant=minbase", "--include=python3",
        DEBIAN, system, MIRROR,
    )  # fmt: skip
    for package in sorted((system / "var/cache/apt/archives").glob("*.deb")):
        run("dpkg-deb", "--extract", package, system)
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in WHEELS]
    platforms = [
        f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 24, 26, 27, 28, 31, 34, 35)
    ]
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:",
        *platforms, "--platform=manylinux2014_aarch64", f"--python-version={PYTHON}",
        "--target", system / "opt/site", *versions,
    )  # fmt: skip
    (system / "complete").touch()


@contextmanager
def interpreter_registered() -> Iterator[None]:
    """Let the kernel start programs for arm64 with QEMU, and afterwards as it was before."""
    if not (BINFMT / "status").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT)
    registered = BINFMT / "qemu-aarch64"
    if registered.exists():
        yield
        return
    (BINFMT / "register").write_text(INTERPRETER.read_text())
    try:
        yield
    finally:
        registered.write_text("-1")


def run_there(system: Path, work: Path | str, *command: str) -> None:
    """Run a command in the emulated system, with this source in /src and `work` in /work."""
    # Not /sys: it tells of the real processor, and onnxruntime crashes with what it reads there.
    bound = {"/proc": "/proc", "/dev": "/dev", str(SOURCE): "/src"}
    if Path(work).is_absolute() and str(work) != "/src":
        bound[str(work)] = "/work"
    lines = [
        f"mkdir -p {system}{place} && mount --rbind {shlex.quote(here)} {system}{place}"
        for here, place in bound.items()
    ]
    inside = ["chroot", str(system), "env", "-i", "-C", "/src", "PATH=/usr/bin:/bin", "HOME=/tmp"]
    inside += ["PYTHONPATH=/src:/opt/site", "PYTHONDONTWRITEBYTECODE=1", "LANG=C.UTF-8", *command]
    # A namespace of its own: the mounts end with it.
    script = "set -e\n" + "\n".join([*lines, shlex.join(inside)])
    run("unshare", "--mount", "--propagation", "private", "sh", "-c", script)


def compare(system: Path, work: Path) -> int:
    """Compute the results on both, and compare them; returns the exit code."""
    from skimage.data import astronaut

    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    np.save(work / "astronaut.npy", astronaut())
    raw = camera_messages(list(scene(2)), "/left", raw=True)
    write_bag(work / "bag", raw + camera_messages(list(scene(2, offset=2)), "/right"))
    program = "results_without_ros.py"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    run(sys.executable, SOURCE / "test" / program, work, work / "here", environment=environment)
    run_there(system, work, "python3", f"/src/test/{program}", "/work", "/work/there")
    facts = [json.loads((work / place / "facts.json").read_text()) for place in ("here", "there")]
    for name in facts[0]:
        if name != "browser server":
            print(f"{name}: {facts[0][name]} | {facts[1][name]}")
    differences = list(differing(work / "here/results.npz", work / "there/results.npz"))
    same_answers = facts[0]["browser server"] == facts[1]["browser server"]
    print(f"browser server: {'the same answers' if same_answers else 'OTHER ANSWERS'}")
    return int(bool(differences) or not same_answers)


def differing(here: Path, there: Path) -> Iterator[str]:
    """Print how far each result differs, and give the names of those that differ too much."""
    ours, theirs = np.load(here), np.load(there)
    assert set(ours) == set(theirs), set(ours) ^ set(theirs)
    for name in ours:
        if ours[name].shape != theirs[name].shape:
            print(f"{name}: {ours[name].shape} | {theirs[name].shape}: DIFFERENT")
            yield name
            continue
        difference = float(np.max(np.abs(ours[name] - theirs[name]), initial=0.0))
        part = difference / scale(name, ours)
        too_much = not part <= TOLERANCE
        print(f"{name:24} {100 * part:.6f} %{': TOO MUCH' if too_much else ''}")
        if too_much:
            yield name


def scale(name: str, results: np.lib.npyio.NpzFile) -> float:
    """Return what a difference is a part of: the distance between the eyes, or 1 for scores."""
    group, field = name.split("/")
    if field in ("points", "points_z", "box", "box_keypoints", "points_3d"):
        points = results[f"{group}/{'points_3d' if field == 'points_3d' else 'points'}"]
        if group == "bag":
            points = points[0].reshape(-1, 2)
        return float(np.linalg.norm(points[EYES[0]] - points[EYES[1]]))
    return 1.0


def run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a command; stop with its exit code if it fails."""
    words: Sequence[str] = [str(word) for word in command]
    code = subprocess.run(words, env=environment).returncode
    if code:
        raise SystemExit(f"emulated_arm64: {shlex.join(words)[:200]} ended with {code}")


if __name__ == "__main__":
    sys.exit(main())
