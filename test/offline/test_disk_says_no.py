"""Full disks, no permission, no shared memory: one line, a code, and nothing half-made."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import pytest

from maix_facemesh_ros.offline import workers
from maix_facemesh_ros.offline.main import main
from recorded_bags import KINDS, camera_messages, content_of, scene, write_bag

COUNT = 12
#: Of a file, in bytes: below the job's file, in the results, in the outputs.
SIZES = [0, 300, 2_000, 20_000, 100_000]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(
        tmp_path_factory.mktemp("recorded") / "bag", camera_messages(list(scene(COUNT)))
    )


def command(*arguments: str | Path) -> int:
    return main([*map(str, arguments), "--quiet"])


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the kernel refuse to write more into a file, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("outputs", [["out"], ["out.csv"], ["out", "--storage", "sqlite3"]])
def test_a_full_disk_is_one_line_and_the_same_command_resumes(
    outputs: list[str], bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = outputs
    arguments: list[str | Path] = [bag, "-o", tmp_path / name, *options, "--workers", "1"]
    arguments += [] if name.endswith("csv") else ["--copy"]
    refused = 0
    for size in SIZES:
        # Not for the files that pytest itself writes.
        with capsys.disabled(), largest_file(size):
            code, error = said(*arguments)
        if code == 0:
            break
        refused += 1
        assert code == 1
        assert error.startswith("facemesh_bag: ")
        assert error.count("\n") == 1, error
        assert {path.name for path in tmp_path.iterdir()} <= {f"{name}.partial"}
    assert refused >= 3
    if code:
        assert command(*arguments) == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if not name.endswith("csv"):
        topics = [topic for topic, _, _ in content_of(tmp_path / name)]
        assert topics.count("/camera/faces") == COUNT
        assert len(topics) == 3 * COUNT


def said(*arguments: str | Path) -> tuple[int, str]:
    """Return the code and what is said on standard error."""
    read, write = os.pipe()
    kept = sys.stderr
    with os.fdopen(write, "w") as stream:
        sys.stderr = stream
        try:
            code = command(*arguments)
        finally:
            sys.stderr = kept
    with os.fdopen(read) as stream:
        return code, stream.read()


def test_no_space_for_what_is_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag(tmp_path / "bag", camera_messages(list(scene(COUNT))), KINDS[3])
    with capsys.disabled(), largest_file(10_000):
        code, error = said(bag, "-o", tmp_path / "out", "--workers", "1")
    assert code == 1
    assert "cannot be unpacked into" in error
    assert "File too large" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder, and no permission for anything that others do not give to everyone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        for path in folder.iterdir():
            if path.is_dir():
                path.chmod(0o777)
        shutil.rmtree(folder)


def test_what_may_not_be_read_or_written_is_named(
    unprivileged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(unprivileged / "bag", camera_messages(list(scene(2))))
    closed = unprivileged / "closed"
    closed.mkdir()
    (closed / "in").mkdir()
    (closed / "file").touch()
    closed.chmod(0)
    (unprivileged / "film.mp4").touch(0o000)
    cases = [
        (bag, closed / "out"),
        (bag, closed / "in" / "deep" / "out"),
        (closed, unprivileged / "out"),
        (closed / "in", unprivileged / "out"),
        (closed / "file", unprivileged / "out"),
        (unprivileged / "film.mp4", unprivileged / "out"),
    ]
    for source, output in cases:
        assert command(source, "-o", output, "--workers", "1") == 1
        error = capsys.readouterr().err
        assert "Permission denied" in error, error
        assert error.count("\n") == 1, error
    (bag / "bag.mcap").chmod(0)
    assert command(bag, "-o", unprivileged / "out", "--workers", "1") == 1
    error = capsys.readouterr().err
    assert "bag.mcap cannot be read: Permission denied" in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in unprivileged.iterdir()) == ["bag", "closed", "film.mp4"]


def test_without_shared_memory_one_process_does_everything(
    bag: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def no_semaphores(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(workers, "ProcessPoolExecutor", no_semaphores)
    assert command(bag, "-o", tmp_path / "faces", "--workers", "3") == 0
    error = capsys.readouterr().err
    assert "is /dev/shm there and writable? No such file or directory" in error
    assert error.count("\n") == 1
    assert len(content_of(tmp_path / "faces")) == COUNT


def test_a_home_that_is_not_there_is_not_needed(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), next(scene(1))[:, :, ::-1])
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "maix_facemesh_ros.programs.start", "facemesh_bag"),
            *(folder, "-o", tmp_path / "out.csv", "--workers", "1", "-p", "pose:=false"),
        ],
        env={
            **os.environ,
            "HOME": "/dev/null/nowhere",
            "XDG_CACHE_HOME": "",
            "PYTHONSAFEPATH": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    # onnxruntime says that it cannot keep the name that it has given this machine.
    others = [line for line in finished.stderr.splitlines() if "telemetry" not in line]
    assert others == []
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 2
