"""A node that a program has started ends with that program, however the program ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from maix_facemesh_ros.ros.facemesh_node_child import start_node, stop_nodes
from replay_bags import DELAY, INTERVAL, START, BagMaker, image_message, moving_scene

pytest_plugins = ["running_node"]

pytestmark = pytest.mark.usefixtures("own_network")

TIMEOUT = 60.0

START_REPLAY = [sys.executable, "-m", "maix_facemesh_ros.programs.start", "facemesh_replay"]
START_DEMO = [sys.executable, "-m", "maix_facemesh_ros.ros.demo", "--seconds", "60"]

#: What the node prints when it runs, and the replay when it has found it.
RUNNING, FOUND = "[facemesh]: backend onnx", "/image_raw is answered by /facemesh"


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images."""
    folder = tmp_path_factory.mktemp("bags") / "bag"
    with BagMaker(folder) as bag:
        for number, image in enumerate(list(moving_scene())[:10]):
            stamp = START + number * INTERVAL
            bag.write("/image_raw", image_message(image, stamp), stamp + DELAY)
    return folder


@contextmanager
def running(command: Sequence[str | Path], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program in a folder, which is its temporary folder too."""
    program = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    try:
        yield program
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)  # The node, if a test has failed.


def wait_for(program: subprocess.Popen[str], said: str) -> None:
    assert program.stdout is not None
    lines = []
    for line in program.stdout:
        lines.append(line)
        if said in line:
            return
    pytest.fail("".join(lines))


def end_of_all(program: subprocess.Popen[str]) -> str:
    """Return the rest of the output, which ends when the last of its processes has ended."""
    output, _ = program.communicate(timeout=TIMEOUT)
    return output


@pytest.mark.parametrize(
    ("how", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGHUP, 130)],
)
def test_the_node_of_a_replay_ends_with_it(
    how: signal.Signals, code: int, bag: Path, tmp_path: Path
) -> None:
    with running([*START_REPLAY, bag, "--start-node", "--loop", "--rate", "1"], tmp_path) as replay:
        wait_for(replay, FOUND)
        replay.send_signal(how)
        output = end_of_all(replay)
    assert replay.returncode == code
    assert "Traceback" not in output
    # SIGKILL leaves the file with the node's parameters.
    assert how == signal.SIGKILL or not list(tmp_path.glob("facemesh_replay_*"))


def test_the_node_of_the_demo_ends_with_it(tmp_path: Path) -> None:
    with running(START_DEMO, tmp_path) as demo:
        wait_for(demo, RUNNING)
        demo.kill()
        assert "Traceback" not in end_of_all(demo)


def test_a_replay_that_ignores_sighup_continues(bag: Path, tmp_path: Path) -> None:
    command = ["nohup", *START_REPLAY, str(bag), "--start-node", "--rate", "1"]
    with running(command, tmp_path) as replay:
        wait_for(replay, FOUND)
        os.killpg(replay.pid, signal.SIGHUP)  # As a terminal does that is closed.
        assert "10 images played" in end_of_all(replay)
    assert replay.returncode == 0


def test_a_node_that_is_still_being_imported_ends_at_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    node = start_node([])
    stop_nodes([node])
    assert node.returncode == -signal.SIGTERM
    assert "Traceback" not in capfd.readouterr().err
