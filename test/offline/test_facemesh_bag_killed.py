"""`facemesh_bag` that is killed: nothing is broken, nothing is lost, and it goes on."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maix_facemesh_ros.bags.output_folder import COMPLETE, PartialOutput
from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.offline import workers
from maix_facemesh_ros.offline.job import Job, Report
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.parameters import NodeParameters
from recorded_bags import camera_messages, content_of, fingerprint, scene, write_bag

COUNT = 90
SEGMENT = 10
#: Seconds to wait for what must happen; most of it takes a fraction.
PATIENCE = 60.0
KILLS = 5

#: A program, so that it can be killed; not a file, so that its workers need not read it.
PROGRAM = """
import sys
from pathlib import Path
from maix_facemesh_ros.offline.job import Job
from maix_facemesh_ros.bags.output_folder import COMPLETE
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.parameters import NodeParameters
bag, output, workers, length = sys.argv[1:]
options = JobOptions(
    (Path(bag),), (Path(output), Path(output + ".csv")), NodeParameters(), copy=True,
    workers=int(workers), segment_length=int(length),
)
with Job(options) as job:
    job.run()
"""


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    return write_bag(folder / "bag", camera_messages(list(scene(COUNT))))


@pytest.fixture(scope="module")
def expected(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    output = tmp_path_factory.mktemp("expected") / "faces"
    run(bag, output)
    return content_of(output)


def options_for(bag: Path, output: Path, **changes: Any) -> JobOptions:
    values = {"parameters": NodeParameters(), "copy": True, "segment_length": SEGMENT}
    return JobOptions((bag,), (output, Path(f"{output}.csv")), **{**values, **changes})


def run(
    bag: Path, output: Path, progress: Callable[[int], Any] = lambda _: None, **changes: Any
) -> Report:
    with Job(options_for(bag, output, **changes)) as job:
        return job.run(progress)


def start(bag: Path, output: Path, count: int) -> subprocess.Popen[bytes]:
    arguments = [str(bag), str(output), str(count), str(SEGMENT)]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], start_new_session=True)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"no {what} within {PATIENCE:.0f} s"
        time.sleep(0.02)


def is_gone(group: int) -> bool:
    """Tell if no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("count", [1, 2])
def test_killed_at_random_moments_it_goes_on_to_the_same_result(
    count: int, bag: Path, expected: list[Any], tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # to be seen when it fails
    chance = random.Random(seed)
    before = fingerprint(bag)
    output = tmp_path / "faces"
    started = time.monotonic()
    assert start(bag, output, count).wait(PATIENCE) == 0
    duration = time.monotonic() - started
    assert content_of(output) == expected
    table = Path(f"{output}.csv").read_text()

    output = tmp_path / "killed"
    for _ in range(KILLS):
        process = start(bag, output, count)
        time.sleep(chance.uniform(0, duration))
        process.kill()
        process.wait(PATIENCE)
        # The workers notice that their parent process is gone.
        wait_until(lambda group=process.pid: is_gone(group), "end of the workers")  # type: ignore[misc]
        assert fingerprint(bag) == before
        there = {path.name for path in tmp_path.iterdir() if "killed" in path.name}
        if output.exists():  # it was through already
            assert content_of(output) == expected
        assert there <= {"killed", "killed.csv", "killed.partial", "killed.csv.partial"}
        if there == {"killed", "killed.csv"}:
            break
    else:
        assert start(bag, output, count).wait(PATIENCE) == 0
    assert content_of(output) == expected
    assert Path(f"{output}.csv").read_text() == table
    assert not (tmp_path / "killed.partial").exists()
    assert fingerprint(bag) == before


@pytest.mark.parametrize("count", [1, 2])
def test_what_was_done_is_not_done_again(
    count: int, bag: Path, expected: list[Any], tmp_path: Path
) -> None:
    output = tmp_path / "faces"
    process = start(bag, output, count)
    segments = tmp_path / "faces.partial" / "segments"
    wait_until(lambda: len(list(segments.glob("*.npz"))) >= 3, "faces of three segments")
    process.kill()
    process.wait(PATIENCE)
    wait_until(lambda: is_gone(process.pid), "end of the workers")
    done = len(list(segments.glob("*.npz")))

    # Who goes on need not be as many as who began.
    report = run(bag, output, workers=3 - count)

    assert 3 <= done <= report.resumed_segments < COUNT / SEGMENT
    assert report.images == COUNT
    assert content_of(output) == expected


def test_a_worker_that_dies_is_replaced(bag: Path, expected: list[Any], tmp_path: Path) -> None:
    killed: list[Any] = []

    def kill_one(_images: int) -> None:
        if not killed:
            worker = multiprocessing.active_children()[0]
            killed.append(worker)
            worker.kill()

    report = run(bag, tmp_path / "faces", kill_one, workers=2)

    assert killed[0].exitcode == -signal.SIGKILL
    assert report.retried > 0
    assert content_of(tmp_path / "faces") == expected


def die(_task: Any) -> None:
    os._exit(1)


@pytest.mark.parametrize(
    ("function", "error"),
    [(len, "failed: TypeError: .* has no len"), (die, r"died 3 times .*: is there enough memory")],
)
def test_a_task_that_always_fails_ends_with_its_error(
    function: Callable[[Any], Any],
    error: str,
    bag: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("maix_facemesh_ros.offline.segment_queue.find_in_segment", function)
    with pytest.raises(BagError, match=f"a process has {error}"):
        run(bag, tmp_path / "faces", workers=2)
    assert not (tmp_path / "faces").exists()


@pytest.mark.timeout(2 * PATIENCE)
def test_ctrl_c_does_not_wait_for_the_segments_under_way() -> None:
    pool = workers.LocalWorkers(1)
    task = pool.submit(time.sleep, 10 * PATIENCE)
    processes = multiprocessing.active_children()
    assert processes
    pool.close()
    for process in processes:
        process.join()
    while task.is_under_way:  # until the pool has noticed
        time.sleep(0.01)


def test_interrupted_between_two_moves_the_rest_is_moved(
    bag: Path, expected: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "faces"

    def publish_half(partial: PartialOutput) -> None:
        (partial.folder / COMPLETE).touch()
        partial.place_of(output).replace(output)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PartialOutput, "publish", publish_half)
        run(bag, output)
    assert not Path(f"{output}.csv").exists()

    run(bag, output)

    assert content_of(output) == expected
    assert Path(f"{output}.csv").read_text().count("\n") > 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "faces.csv"]


def test_another_job_does_not_take_over_what_is_left_of_one(bag: Path, tmp_path: Path) -> None:
    output = tmp_path / "faces"
    with pytest.raises(KeyboardInterrupt):
        run(bag, output, interrupt_after(30))
    other = NodeParameters(detect_conf_th=0.6)
    with pytest.raises(BagError, match=r"with other parameters: give the same .* or --restart"):
        run(bag, output, parameters=other)
    report = run(bag, output, parameters=other, restart=True)
    assert report.resumed_segments == 0
    assert report.images == COUNT


def test_two_at_once_do_not_get_into_each_others_way(bag: Path, tmp_path: Path) -> None:
    output = tmp_path / "faces"
    with Job(options_for(bag, output)) as job:
        with pytest.raises(BagError, match="a job with this output is running already"):
            run(bag, output)
        assert job.run().images == COUNT


def test_damaged_results_of_an_earlier_attempt_are_made_again(
    bag: Path, expected: list[Any], tmp_path: Path
) -> None:
    output = tmp_path / "faces"
    with pytest.raises(KeyboardInterrupt):
        run(bag, output, interrupt_after(45))
    first, second, *others = sorted((tmp_path / "faces.partial" / "segments").iterdir())
    first.write_bytes(first.read_bytes()[:500])
    second.write_bytes(b"")
    report = run(bag, output)
    assert report.resumed_segments == len(others)
    assert content_of(output) == expected


def interrupt_after(images: int) -> Callable[[int], None]:
    seen = iter(range(images))

    def interrupt(_images: int) -> None:
        if next(seen, None) is None:
            raise KeyboardInterrupt

    return interrupt


@pytest.fixture
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="Dask is an extra")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as started:
        yield started


def test_a_cluster_gives_the_same_and_survives_the_loss_of_a_worker(
    bag: Path, expected: list[Any], cluster: Any, tmp_path: Path
) -> None:
    killed: list[Any] = []

    def kill_one(_images: int) -> None:
        if not killed:
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    output = tmp_path / "faces"
    report = run(bag, output, kill_one, cluster=cluster.scheduler_address)
    assert report.images == COUNT
    assert killed
    assert content_of(output) == expected


def test_a_cluster_that_does_not_answer_is_an_error(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="Dask is an extra")
    monkeypatch.setattr(workers, "CONNECT_TIMEOUT", 1)
    with pytest.raises(BagError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        run(bag, tmp_path / "faces", cluster="tcp://127.0.0.1:9")
