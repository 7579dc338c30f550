"""What was made fast stays so. Ratios of processor times are compared, never times.

Each pair is measured by turns, and of each the least time counts, so whatever else the machine does
hits both or neither. The limits are about twice what was measured (docs/performance.md), and
below what the ratio would be without the optimisation.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarksNetwork
from maix_facemesh_ros.backends.onnx.network import Network
from maix_facemesh_ros.backends.onnx.tracker import IMAGES_UNTIL_REST
from maix_facemesh_ros.backends.onnx.variants import model_file
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.model_files import find_model

pytestmark = pytest.mark.alone

IS_GLIBC = platform.libc_ver()[0] == "glibc"
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
ROUNDS = 15

#: Does something and returns the seconds that count of it.
Timed = Callable[[], float]


def ratio(first: Timed, second: Timed) -> float:
    """Return the least time of the first by that of the second."""
    times = [(first(), second()) for _ in range(ROUNDS)]
    found = min(time for time, _ in times) / min(time for _, time in times)
    print(f"ratio {found:.2f}")
    return found


def processor_time(work: Callable[[], object]) -> Timed:
    def timed() -> float:
        start = time.thread_time()
        work()
        return time.thread_time() - start

    return timed


@pytest.fixture
def network_times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The processor time of each run of a network, in the order of the runs."""
    times: list[float] = []
    run = Network.run

    def timed(network: Network, tensor: FloatArray) -> list[FloatArray]:
        start = time.thread_time()
        outputs = run(network, tensor)
        times.append(time.thread_time() - start)
        return outputs

    monkeypatch.setattr(Network, "run", timed)
    return times


def follow(image: Pixels, landmarks_interval: int = 1) -> Callable[[], None]:
    """Return what finds one face in the same image again and again, on one thread."""
    mesh = FaceMesh(tracking=True, max_face_num=1, threads=1, landmarks_interval=landmarks_interval)
    mesh.process(image)

    def process() -> None:
        assert len(mesh.process(image)) == 1

    return process


def outside_networks(work: Callable[[], object], network_times: list[float]) -> Timed:
    timed = processor_time(work)

    def outside() -> float:
        network_times.clear()
        return timed() - sum(network_times)

    return outside


def image_with(astronaut: Pixels, width: int, height: int) -> Pixels:
    """Return a gray image of this size with the astronaut, 360 pixels high, in its corner."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[:360, :360] = cv2.resize(astronaut, (360, 360), interpolation=cv2.INTER_AREA)
    return image


@pytest.mark.skipif(not IS_X86, reason="elsewhere the plain file may be the chosen one")
def test_the_chosen_landmark_file_is_faster_than_the_plain_one() -> None:
    gray = np.full((1, 256, 256, 3), 128, np.uint8)
    chosen = Network(model_file("face_landmarks", "cpu"))
    plain = Network(find_model("face_landmarks_plain.onnx"))
    found = ratio(processor_time(lambda: chosen.run(gray)), processor_time(lambda: plain.run(gray)))
    assert found < 0.8


def test_a_followed_face_is_not_looked_for(astronaut: Pixels) -> None:
    image = image_with(astronaut, 640, 480)
    alone = FaceMesh(max_face_num=1, threads=1)
    found = ratio(processor_time(follow(image)), processor_time(lambda: alone.process(image)))
    assert found < 0.5


def test_between_looks_of_the_network_a_face_costs_a_fraction(astronaut: Pixels) -> None:
    """It was a sixth."""
    image = image_with(astronaut, 640, 480)
    between = processor_time(follow(image, landmarks_interval=1000))
    assert ratio(between, processor_time(follow(image))) < 0.5


def test_what_is_not_network_costs_a_fraction_of_it(
    astronaut: Pixels, network_times: list[float]
) -> None:
    process = follow(image_with(astronaut, 640, 480))

    def networks() -> float:
        network_times.clear()
        process()
        return sum(network_times)

    assert ratio(outside_networks(process, network_times), networks) < 0.5


@pytest.mark.parametrize("in_rows", [True, False], ids=["in rows", "a view of BGR"])
def test_a_large_image_is_never_copied_or_converted_whole(
    astronaut: Pixels, network_times: list[float], in_rows: bool
) -> None:
    def outside(width: int, height: int) -> Timed:
        image = image_with(astronaut, width, height)
        if not in_rows:
            image = np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1]
        return outside_networks(follow(image), network_times)

    assert ratio(outside(1920, 1080), outside(640, 360)) < 2.5


def test_faces_are_the_same_when_the_detectors_memory_is_given_back(
    astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back_after: list[int] = []
    give_back = FaceLandmarksNetwork.give_back_memory

    def watched_by(
        action: Callable[[FaceLandmarksNetwork], None],
    ) -> list[FloatArray]:
        found: list[FloatArray] = []

        def watched(network: FaceLandmarksNetwork) -> None:
            given_back_after.append(len(found))
            action(network)

        monkeypatch.setattr(FaceLandmarksNetwork, "give_back_memory", watched)
        black = np.zeros_like(astronaut)
        with FaceMesh(tracking=True, max_face_num=1) as mesh:
            for image in [*[astronaut] * (2 * IMAGES_UNTIL_REST), black, astronaut]:
                found += [face.points for face in mesh.process(image)]
        return found

    kept = watched_by(lambda _: None)
    given_back = watched_by(give_back)
    assert given_back_after == [0, IMAGES_UNTIL_REST] * 2, "when loaded, and when it rests"
    assert len(kept) == 2 * IMAGES_UNTIL_REST + 1
    assert all(map(np.array_equal, kept, given_back))


@pytest.mark.skipif(not IS_GLIBC, reason="what other heaps give back is not known")
def test_the_detectors_memory_is_given_back_while_it_rests() -> None:
    """7 MB of 79: searches of areas need less than those of whole images, which took 22 of 91."""
    code = """
import re
import cv2
from pathlib import Path
from skimage.data import astronaut
from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.backends.onnx.tracker import IMAGES_UNTIL_REST

def megabytes():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", status)[1]) / 1024

image = cv2.copyMakeBorder(astronaut(), 0, 0, 64, 64, cv2.BORDER_REPLICATE)[:480]
with FaceMesh(tracking=True, max_face_num=1) as mesh:
    for _ in range(IMAGES_UNTIL_REST):
        assert len(mesh.process(image)) == 1
    before = megabytes()
    mesh.process(image)
    after = megabytes()
print(f"{before:.0f} to {after:.0f} MB")
assert after < before - 4
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
