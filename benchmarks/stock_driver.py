"""`facemesh_node` with a stock camera driver: images answered, next to a plain rclpy subscriber."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from benchmarks.environments import OURS, ROOT
from benchmarks.measurement import Figure
from benchmarks.node import ros_in_a_domain
from benchmarks.options import Options
from benchmarks.report import Row, Section
from benchmarks.stock_processes import Driven, StockDriver, StockSubscriber, clean_environment
from benchmarks.worker_process import NotMeasuredError

SIZES = ((640, 480), (1280, 720), (1920, 1080))
RATES = (15, 30)
RELIABILITIES = ("RELIABLE", "BEST_EFFORT")

#: Images of each setting.
IMAGES = 90
QUICK_IMAGES = 30

#: Images before those: in the first ones the node finds the face and its tracks begin.
FIRST_IMAGES = 15

#: Images that may be lost, in percent; with a busy core this holds up to this number of pixels.
LIMIT = 1.0
BUSY_PIXELS = 1280 * 720

#: Key of the count of images on /diagnostics (`ARRIVED` of `ros/diagnostic_keys.py`).
ARRIVED = "pictures arrived"

#: Seconds for processes to start and to find each other.
PATIENCE = 30.0


@dataclass(frozen=True)
class Setting:
    """Images of the driver."""

    reliability: str
    size: tuple[int, int]
    rate: int

    @property
    def title(self) -> str:
        """The setting in words."""
        width, height = self.size
        reliability = self.reliability.lower().replace("_", " ")
        return f"{reliability} {width}x{height}, {self.rate} Hz"


def measure(options: Options) -> Section:
    """Both cores free."""
    title = "images of a stock driver that are not answered, both cores free"
    return Section("stock_driver", title, list(_rows(options, busy=False)))


def measure_busy(options: Options) -> Section:
    """One core busy with something else."""
    title = "images of a stock driver that are not answered, one core busy"
    return Section("stock_driver_busy", title, list(_rows(options, busy=True)))


def measure_shared_memory(options: Options) -> Section:
    """By default, and with this package's shared memory profile on both sides."""
    title = "images of a reliable driver at 30 Hz: latency and computing by transport"
    return Section("shared_memory", title, list(_shared_memory_rows(options)))


def _shared_memory_rows(options: Options) -> Iterator[Row]:
    images = QUICK_IMAGES if options.quick else IMAGES
    profile = {
        f"{name}_DEFAULT_PROFILES_FILE": str(ROOT / "config" / "fastdds_shared_memory.xml")
        for name in ("FASTRTPS", "FASTDDS")
    }
    with ExitStack() as stack:
        domain = stack.enter_context(ros_in_a_domain())
        collector = stack.enter_context(_collector())
        for size in SIZES[:1] if options.quick else SIZES:
            transports = {"udp": Transported({}), "shared memory": Transported(profile)}
            # One after the other, twice, so that other load affects both.
            for transported in [*transports.values()] * 2:
                with _facemesh_node(domain, **transported.variables) as node:
                    transported.add(Setting("RELIABLE", size, 30), images, node, collector, domain)
            yield _shared_memory_row(size, *transports.values())


def _shared_memory_row(size: tuple[int, int], udp: Transported, shared: Transported) -> Row:
    return Row(
        "{}x{}".format(*size),
        Figure.milliseconds(udp.latencies),
        against="shared memory on both sides",
        peer=Figure.milliseconds(shared.latencies),
        cpu_ratio=udp.computed / shared.computed,
        remark=f"CPU an image: driver {udp.of_driver:.1f} ms and {shared.of_driver:.1f} ms, "
        f"node {udp.of_node:.1f} ms and {shared.of_node:.1f} ms; "
        f"answered {len(udp.latencies)} and {len(shared.latencies)} of {udp.images}",
    )


@dataclass
class Transported:
    """Measurements of one transport."""

    #: Variables of the environment of both processes.
    variables: dict[str, str]
    images: int = 0
    #: Seconds from the image's stamp to the faces' arrival.
    latencies: list[float] = field(default_factory=list)
    #: Milliseconds of computing an image, one for each block of images.
    driver: list[float] = field(default_factory=list)
    node: list[float] = field(default_factory=list)

    @property
    def of_driver(self) -> float:
        """Milliseconds of computing that an image cost the driver."""
        return float(np.mean(self.driver))

    @property
    def of_node(self) -> float:
        """Milliseconds of computing that an image cost the node."""
        return float(np.mean(self.node))

    @property
    def computed(self) -> float:
        """Milliseconds of computing that an image cost both."""
        return self.of_driver + self.of_node

    def add(
        self,
        setting: Setting,
        images: int,
        node: subprocess.Popen[bytes],
        collector: Collector,
        domain: int,
    ) -> None:
        """Measure a block of images."""
        block = _answered(setting, images, node, collector, domain, **self.variables)
        self.images += images
        self.latencies += block.latencies
        self.driver.append(block.driver.computing)
        self.node.append(block.computing)


def _rows(options: Options, *, busy: bool) -> Iterator[Row]:
    images = QUICK_IMAGES if options.quick else IMAGES
    sizes = SIZES[:1] if options.quick else SIZES
    with ExitStack() as stack:
        domain = stack.enter_context(ros_in_a_domain())
        collector = stack.enter_context(_collector())
        node = stack.enter_context(_facemesh_node(domain))
        if busy:
            stack.enter_context(_busy_core())
        for reliability, size, rate in product(RELIABILITIES, sizes, RATES):
            yield _row(Setting(reliability, size, rate), images, node, collector, domain, busy=busy)


def _row(
    setting: Setting,
    images: int,
    node: subprocess.Popen[bytes],
    collector: Collector,
    domain: int,
    *,
    busy: bool,
) -> Row:
    """Measure one setting: the node answers; then a plain subscriber counts, in another domain."""
    arrived_before = collector.arrived_now()
    block = _answered(setting, images, node, collector, domain)
    driver, answered = block.driver, len(block.latencies)
    arrived = collector.arrived_now() - arrived_before
    is_reliable = setting.reliability == "RELIABLE"
    of_plain = _count_plainly(setting, images, domain + 1) if is_reliable else 0
    latencies = Figure.milliseconds(block.latencies)
    lost = 100 * (1 - answered / images)
    lost_by_plain = 100 * (1 - of_plain / (images + FIRST_IMAGES))
    has_target = not busy or np.prod(setting.size) <= BUSY_PIXELS
    limits = [LIMIT] * has_target + [lost_by_plain] * is_reliable
    return Row(
        setting.title,
        Figure.of([lost], "%"),
        limit=min(limits, default=None),
        remark=f"{arrived} of {images + FIRST_IMAGES} arrived"
        + (f", {of_plain} at a plain reliable subscriber" if is_reliable else "")
        + f"; {answered} of {images} answered"
        + f"; latency {latencies.median:.1f} ms [{latencies.p10:.1f}-{latencies.p90:.1f}], "
        f"driver {driver.rate:.1f} Hz, longest publish() {driver.longest_publish:.1f} ms, CPU an "
        f"image: driver {driver.computing:.1f} ms, node {block.computing:.1f} ms",
    )


class Block(NamedTuple):
    """Measurements of the images of one setting."""

    driver: Driven
    #: Seconds from the stamp of each answered image to the faces' arrival.
    latencies: list[float]
    #: Milliseconds of computing that an answered image cost the node.
    computing: float


def _answered(
    setting: Setting,
    images: int,
    node: subprocess.Popen[bytes],
    collector: Collector,
    domain: int,
    **variables: str,
) -> Block:
    """Publish the images of one setting, and collect the node's answers."""
    collector.answered.clear()
    before = _computed(node)
    driver = _drive(setting, images, domain, **variables)
    computed = _computed(node) - before
    answered = [stamp for stamp in driver.stamps if stamp in collector.answered]
    if not answered:
        raise NotMeasuredError(f"{setting.title}: no answers")
    latencies = [(collector.answered[stamp] - stamp) / 1e9 for stamp in answered]
    return Block(driver, latencies, 1e3 * computed / len(answered))


def _drive(setting: Setting, images: int, domain: int, **variables: str) -> Driven:
    """Publish the images of one setting to one subscriber."""
    return StockDriver(
        setting.size,
        images,
        reliability=setting.reliability,
        rate=setting.rate,
        subscribers=1,
        more=[f"--first={FIRST_IMAGES}"],
        ROS_DOMAIN_ID=str(domain),
        **variables,
    ).wait()


def _count_plainly(setting: Setting, images: int, domain: int) -> int:
    """Return how many images of the same driver a plain reliable subscriber gets."""
    plain = StockSubscriber(ROS_DOMAIN_ID=str(domain))
    _drive(setting, images, domain)
    return plain.stop()


@contextmanager
def _facemesh_node(domain: int, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the node as a user does, without a profile in its environment unless given."""
    import rclpy

    node = subprocess.Popen(
        [str(OURS / "bin" / "facemesh_node")],
        env=clean_environment(ROS_DOMAIN_ID=str(domain), **variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        watcher = rclpy.create_node("watcher")
        end = time.monotonic() + PATIENCE
        while not watcher.count_subscribers("/image_raw"):
            if time.monotonic() > end or node.poll() is not None:
                raise NotMeasuredError(f"facemesh_node is not seen within {PATIENCE:g} s")
            time.sleep(0.1)
        watcher.destroy_node()
        yield node
    finally:
        node.send_signal(signal.SIGINT)
        node.wait(timeout=PATIENCE)


class Collector:
    """Messages of the node."""

    def __init__(self) -> None:
        #: When the faces of each image arrived, by the image's stamp; both in nanoseconds.
        self.answered: dict[int, int] = {}
        self._arrived: int | None = None

    def on_faces(self, message: Any) -> None:
        """Note when faces arrive."""
        stamp = message.header.stamp
        self.answered[stamp.sec * 10**9 + stamp.nanosec] = time.time_ns()

    def on_diagnostics(self, message: Any) -> None:
        """Note how many images have arrived at the node."""
        for status in message.status:
            values = {value.key: value.value for value in status.values}
            self._arrived = int(values.get(ARRIVED, 0))

    def arrived_now(self) -> int:
        """Return the number of images that have arrived at the node, from its next /diagnostics."""
        # The first message may have been under way.
        self._next_count()
        return self._next_count()

    def _next_count(self) -> int:
        self._arrived = None
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            arrived: int | None = self._arrived
            if arrived is not None:
                return arrived
            time.sleep(0.02)
        raise NotMeasuredError(f"no diagnostics within {PATIENCE:g} s")


@contextmanager
def _collector() -> Iterator[Collector]:
    """Give what collects the node's messages, in a thread of its own."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import QoSProfile

    from maix_facemesh_ros.msg import FaceArray

    collector = Collector()
    node = rclpy.create_node("collector")
    node.create_subscription(FaceArray, "faces", collector.on_faces, QoSProfile(depth=100))
    node.create_subscription(
        DiagnosticArray, "/diagnostics", collector.on_diagnostics, QoSProfile(depth=10)
    )
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()


@contextmanager
def _busy_core() -> Iterator[None]:
    """Keep one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"], env=dict(os.environ))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _computed(process: subprocess.Popen[bytes]) -> float:
    """Return the seconds that all threads of a process have computed."""
    # The kernel's clock of another process's computing time (man clock_getcpuclockid).
    return time.clock_gettime(~process.pid << 3 | 2)
