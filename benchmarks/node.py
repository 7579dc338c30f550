"""`facemesh_node` and a node around MediaPipe: latency, computing time, memory, start."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.clips import faces_clip
from benchmarks.downloads import FACE_LANDMARKER_TASK, FOLDER
from benchmarks.environments import OURS, PEERS, ROOT, python_of, variables_for
from benchmarks.measurement import Figure
from benchmarks.options import Options
from benchmarks.report import Row, Section
from benchmarks.worker_process import NotMeasuredError

#: Limits relative to the wrapper node.
CPU_LIMIT = 0.5
LATENCY_LIMIT = 0.6
#: Megabytes resident, seconds from the start to the first result, milliseconds a subscriber more.
MEMORY_LIMIT = 160.0
START_LIMIT = 1.5
SUBSCRIBER_LIMIT = 0.1

#: Number of interleaved blocks of images, and seconds of each.
BLOCKS = 5
SECONDS = 2.0
#: Seconds that are sent and not counted: trackers find their faces, memory is set up.
WARM_UP_SECONDS = 1.5
STARTS = 7
#: Maximum seconds until a node's first result, and for its end.
PATIENCE = 30.0

WRAPPER = "wrapper node, MediaPipe"


@dataclass(frozen=True)
class Setting:
    """Input of both nodes."""

    title: str
    size: tuple[int, int] = (640, 480)
    faces: int = 1
    #: More parameters of our node, and of the wrapper.
    parameters: Mapping[str, str] = field(default_factory=dict)
    everything: bool = False


BASE = Setting("640x480, 1 face")
SETTINGS = (
    BASE,
    Setting("640x360, 1 face", (640, 360)),
    Setting("1280x720, 1 face", (1280, 720)),
    Setting("1920x1080, 1 face", (1920, 1080)),
    Setting("1280x720, 2 faces", (1280, 720), 2),
    Setting("1280x720, 4 faces", (1280, 720), 4),
    Setting("1280x720, 8 faces", (1280, 720), 8),
    Setting(
        "640x480, 1 face, pose and blendshapes",
        parameters={"assumed_field_of_view": "60.0", "blendshapes": "true"},
        everything=True,
    ),
)
#: Processes that subscribe to `faces` in addition to the one that measures, or not; blocks of each:
#: what they cost is less than what else happens on a machine.
MORE_SUBSCRIBERS = 3
SUBSCRIBER_BLOCKS = 12


class NodeProcess:
    """A node in a separate process."""

    def __init__(self, name: str, command: Sequence[str], environment: Path, domain: int) -> None:
        self.name = name
        self.started = time.monotonic()
        log = FOLDER / f"{name}_node.log"
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT if "-m" in command else FOLDER,
                env={
                    **variables_for(environment),
                    **_transport(),
                    "ROS_DOMAIN_ID": str(domain),
                    "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.log = log

    def runs(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def computed(self) -> float:
        """Seconds that its threads have computed since the start."""
        # The kernel's clock of another process's computing time (man clock_getcpuclockid).
        return time.clock_gettime(~self._process.pid << 3 | 2)

    def memory(self) -> dict[str, float]:
        """Memory in megabytes: Rss is resident memory, Pss counts shared pages proportionally."""
        rollup = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text()
        fields = (line.split() for line in rollup.splitlines())
        return {f[0].rstrip(":"): int(f[1]) / 1000 * 1.024 for f in fields if f[-1] == "kB"}

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass
class Outcome:
    """Measurement of one node in one setting."""

    latencies: list[float] = field(default_factory=list)
    #: Of each block: seconds computed a second, and seconds computed an image.
    cores: list[float] = field(default_factory=list)
    cpu_per_image: list[float] = field(default_factory=list)
    sent: int = 0
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def remark(self) -> str:
        """Images without an answer, if any."""
        lost = self.sent - len(self.latencies)
        return f"{lost} of {self.sent} images not answered" if lost else ""


def measure(options: Options) -> Section:
    """Latency, computing time and memory, by image sizes, faces and subscribers."""
    skipped: list[str] = []
    settings = SETTINGS[:1] if options.quick else SETTINGS
    rows: list[Row] = []
    with ros_in_a_domain() as domain:
        memory: list[Row] = []
        for setting in settings:
            ours, peer, steps = _measure_setting(setting, options, domain, skipped)
            is_base = setting is BASE
            rows += _setting_rows(setting, ours, peer, is_base)
            if "find faces" in steps:
                rows.append(_outside_row(setting, ours, steps["find faces"]))
            memory += _memory_rows(setting, ours, peer, is_base)
        rows += memory + _subscriber_rows(options, domain)
    title = "facemesh_node at 30 Hz on two cores, and a ROS 2 node around MediaPipe"
    return Section("node", title, rows, skipped)


def measure_start(options: Options) -> Section:
    """Time from the start of the process to the first result received."""
    from benchmarks.robot import Film, Robot

    skipped: list[str] = []
    times: dict[str, list[float]] = {}
    with ros_in_a_domain() as domain:
        film = Film(faces_clip(*BASE.size))
        commands = _commands(BASE, skipped)
        robot = Robot({name: _faces_type(name) for name in commands})
        for _ in range(2 if options.quick else STARTS):
            for name, (command, environment) in commands.items():
                node = NodeProcess(name, command, environment, domain)
                try:
                    first = robot.first_answer(name, film, PATIENCE, node.runs)
                finally:
                    node.stop()
                if first is None:
                    raise _no_result(node)
                times.setdefault(name, []).append(first - node.started)
        robot.destroy_node()
    peer = Figure.of(times["wrapper"], "s") if "wrapper" in times else None
    row = Row(
        "process started to first faces received",
        Figure.of(times["ours"], "s"),
        limit=START_LIMIT,
        remark=f"{WRAPPER}: {peer.median:.2f} s" if peer else "",
    )
    return Section("start", "start of facemesh_node, the camera already running", [row], skipped)


def _measure_setting(
    setting: Setting, options: Options, domain: int, skipped: list[str]
) -> tuple[Outcome, Outcome | None, dict[str, list[float]]]:
    """Run both nodes at once and send images to each in turn."""
    from benchmarks.robot import Film, Robot

    blocks = 2 if options.quick else BLOCKS
    film = Film(faces_clip(*setting.size, faces=setting.faces))
    with ExitStack() as stack:
        commands = _commands(setting, skipped)
        robot = Robot({name: _faces_type(name) for name in commands})
        stack.callback(robot.destroy_node)
        nodes = {}
        for name, (command, environment) in commands.items():
            nodes[name] = NodeProcess(name, command, environment, domain)
            stack.callback(nodes[name].stop)
        for name, node in nodes.items():
            if robot.first_answer(name, film, PATIENCE, node.runs) is None:
                raise _no_result(node)
            robot.film(name, film, WARM_UP_SECONDS)
        robot.steps.clear()
        outcomes = {name: Outcome() for name in nodes}
        for number in range(blocks):
            turns = list(nodes.items())
            for name, node in reversed(turns) if number % 2 else turns:
                outcome, before = outcomes[name], node.computed()
                block = robot.film(name, film, SECONDS)
                computed = node.computed() - before
                outcome.latencies += block.latencies
                outcome.sent += block.sent
                outcome.cores.append(computed / block.elapsed)
                outcome.cpu_per_image.append(computed / max(len(block.latencies), 1))
        for name, node in nodes.items():
            outcomes[name].memory = node.memory()
        return outcomes["ours"], outcomes.get("wrapper"), robot.steps


def _setting_rows(
    setting: Setting, ours: Outcome, peer: Outcome | None, is_base: bool
) -> Iterator[Row]:
    remark = "; ".join(
        f"{who}: {outcome.remark}"
        for who, outcome in (("ours", ours), ("peer", peer))
        if outcome is not None and outcome.remark
    )
    yield Row(
        f"{setting.title}: latency",
        Figure.milliseconds(ours.latencies),
        WRAPPER if peer else "",
        Figure.milliseconds(peer.latencies) if peer else None,
        limit=LATENCY_LIMIT if is_base else None,
        remark=remark,
    )
    yield Row(
        f"{setting.title}: computing",
        Figure.of(ours.cores, "% of a core", 100),
        WRAPPER if peer else "",
        Figure.of(peer.cores, "% of a core", 100) if peer else None,
        limit=CPU_LIMIT if is_base else None,
    )


def _outside_row(setting: Setting, ours: Outcome, finding: Sequence[float]) -> Row:
    """Return the time between capture and reception without finding faces."""
    find = Figure.of(finding, "ms").median / 1000
    return Row(
        f"{setting.title}: latency but for finding faces",
        Figure.milliseconds([latency - find for latency in ours.latencies]),
        remark=f"finding faces: {1000 * find:.2f} ms (median, /diagnostics)",
    )


def _memory_rows(
    setting: Setting, ours: Outcome, peer: Outcome | None, is_base: bool
) -> Iterator[Row]:
    for kind, meaning in (("Rss", "resident"), ("Pss", "its part of what is shared")):
        if kind == "Pss" and not is_base:
            continue
        yield Row(
            f"{setting.title}: memory, {meaning}",
            Figure.of([ours.memory[kind]], "MB"),
            limit=MEMORY_LIMIT if kind == "Rss" and is_base else None,
            remark=f"{WRAPPER}: {peer.memory[kind]:.0f} MB" if peer else "",
        )


def _subscriber_rows(options: Options, domain: int) -> list[Row]:
    """Return the cost of an additional subscriber: alternating blocks with and without some."""
    from benchmarks.robot import Film, Robot

    film = Film(faces_clip(*BASE.size))
    computed: dict[bool, list[float]] = {False: [], True: []}
    latencies: dict[bool, list[float]] = {False: [], True: []}
    with ExitStack() as stack:
        command, environment = _commands(BASE, [])["ours"]
        robot = Robot({"ours": _faces_type("ours")})
        stack.callback(robot.destroy_node)
        node = NodeProcess("ours", command, environment, domain)
        stack.callback(node.stop)
        for number in range(MORE_SUBSCRIBERS):
            stack.callback(_start_subscriber(number, domain).stop)
        if robot.first_answer("ours", film, PATIENCE, node.runs) is None:
            raise _no_result(node)
        for number in range(2 * (2 if options.quick else SUBSCRIBER_BLOCKS)):
            # Without, with, with, without, ...: neither is always the later one.
            with_more = number % 4 in (1, 2)
            robot.let_others_subscribe(with_more, MORE_SUBSCRIBERS, PATIENCE)
            robot.film("ours", film, WARM_UP_SECONDS / 3)
            before = node.computed()
            block = robot.film("ours", film, SECONDS)
            computed[with_more].append((node.computed() - before) / max(len(block.latencies), 1))
            latencies[with_more].append(float(np.median(block.latencies)))
    rows = []
    for what, times in (("computing an image", computed), ("latency", latencies)):
        more = (np.array(times[True]) - np.array(times[False])) / MORE_SUBSCRIBERS
        rows.append(
            Row(
                f"{BASE.title}: {what}, a subscriber more",
                Figure.milliseconds(more.tolist()),
                limit=SUBSCRIBER_LIMIT,
                remark=f"{1000 * np.median(times[False]):.2f} ms with 1 subscriber, "
                f"{1000 * np.median(times[True]):.2f} ms with {1 + MORE_SUBSCRIBERS}",
            )
        )
    return rows


def _commands(setting: Setting, skipped: list[str]) -> dict[str, tuple[list[str], Path]]:
    """Return the command lines of both nodes, and where they run."""
    ours = {"max_face_num": str(setting.faces), **setting.parameters}
    commands = {
        "ours": (
            [str(OURS / "bin" / "facemesh_node"), *_ros_arguments("ours", ours)],
            OURS,
        )
    }
    wrapper = {
        "task": str(FACE_LANDMARKER_TASK.fetch()),
        "num_faces": str(setting.faces),
        "everything": str(setting.everything).lower(),
    }
    try:
        python = python_of(PEERS)
    except FileNotFoundError as error:
        if str(error) not in skipped:
            skipped.append(str(error))
        return commands
    module = [python, "-m", "benchmarks.wrapper_node"]
    commands["wrapper"] = ([*module, *_ros_arguments("wrapper", wrapper)], PEERS)
    return commands


def _ros_arguments(namespace: str, parameters: Mapping[str, str]) -> list[str]:
    arguments = ["--ros-args", "-r", f"__ns:=/{namespace}"]
    return arguments + [
        part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")
    ]


def _start_subscriber(number: int, domain: int) -> NodeProcess:
    command = [python_of(OURS), "-m", "benchmarks.subscriber"]
    return NodeProcess(f"subscriber{number}", command, OURS, domain)


@contextmanager
def ros_in_a_domain() -> Iterator[int]:
    """Initialize rclpy in a separate domain on this machine; returns the domain."""
    try:
        import rclpy

        from benchmarks.robot import start_ros
    except ImportError as error:
        raise NotMeasuredError(f"ROS 2 is not here: {error}") from error
    FOLDER.mkdir(parents=True, exist_ok=True)
    domain = random.randrange(60, 100)
    os.environ.update({**_transport(), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"})
    start_ros(domain)
    try:
        yield domain
    finally:
        rclpy.try_shutdown()


def _no_result(node: NodeProcess) -> NotMeasuredError:
    return NotMeasuredError(f"{node.name}: no result within {PATIENCE:g} s, see {node.log}")


def _transport() -> dict[str, str]:
    from maix_facemesh_ros.ros.dds_profile import shared_memory_environment

    return shared_memory_environment() or {
        name: os.environ[name]
        for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
        if name in os.environ
    }


def _faces_type(name: str) -> type:
    if name == "ours":
        from maix_facemesh_ros.msg import FaceArray

        return FaceArray  # type: ignore[no-any-return]
    from geometry_msgs.msg import PolygonStamped

    return PolygonStamped  # type: ignore[no-any-return]
