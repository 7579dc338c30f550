"""Computes what the Python package gives without ROS, to compare machines of two architectures.

    python results_without_ros.py INPUTS RESULTS

INPUTS holds astronaut.npy (uint8, RGB) and the bag `bag`; RESULTS is a folder that does not exist.
It then has results.npz, the numbers, and facts.json, what they were made with.
`emulated_arm64.py` runs this file here and on an emulated ARM processor.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import platform
import statistics
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
from tornado.websocket import websocket_connect

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.backends.onnx.network import Network
from maix_facemesh_ros.backends.onnx.variants import VARIANTS, channels_in_group
from maix_facemesh_ros.browser.access import Access
from maix_facemesh_ros.browser.frame_packet import pack_frame
from maix_facemesh_ros.browser.server import READY, FrameServer
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Stamp
from maix_facemesh_ros.model_files import find_model
from maix_facemesh_ros.offline import main as facemesh_bag

Numbers = dict[str, npt.NDArray[np.float64]]

#: Runs of a network for its time, after one that does not count.
TIMED_RUNS = 3


def numbers_of(name: str, face: Face) -> Numbers:
    """Return all fields of a face that hold numbers, by their names."""
    fields = (
        "box", "score", "landmarks_score", "box_keypoints", "points", "points_z", "blendshapes",
        "pose", "points_3d",
    )  # fmt: skip
    values = {field: getattr(face, field) for field in fields}
    return {f"{name}/{field}": np.asarray(value, float) for field, value in values.items()}


def of_one_image(astronaut: npt.NDArray[np.uint8]) -> tuple[Numbers, dict[str, Any], Face]:
    """Find the face with each of MediaPipe's detectors."""
    numbers: Numbers = {}
    facts: dict[str, Any] = {}
    for detector in ("short_range", "full_range"):
        with FaceMesh(
            detector=detector, blendshapes=True, pose=True, assumed_field_of_view=60.0
        ) as mesh:
            (face,) = mesh.process(astronaut)
            facts = dict(mesh.facts)
        numbers |= numbers_of(detector, face)
    return numbers, facts, face


def of_a_bag(bag: Path, folder: Path) -> Numbers:
    """Run the offline job, with two processes, and read its table."""
    table = folder / "faces.csv"
    code = facemesh_bag.main([str(bag), "-o", str(table), "--workers", "2", "--quiet"])
    assert code == 0, f"facemesh_bag ended with {code}"
    with table.open() as file:
        rows = list(csv.DictReader(file))

    def columns(*names: str) -> npt.NDArray[np.float64]:
        return np.array([[float(row[name] or "nan") for name in names] for row in rows])

    return {
        "bag/stamp": columns("stamp"),
        "bag/id": columns("id"),
        "bag/box": columns("x", "y", "width", "height"),
        "bag/score": columns("score"),
        "bag/points": columns(*(f"{axis}{i}" for i in range(478) for axis in "xy")),
        "bag/points_z": columns(*(f"z{i}" for i in range(478))),
    }


def of_the_browser_server(face: Face) -> dict[str, str]:
    """Serve the page and one frame; return a hash of each answer."""
    server = FrameServer(Access(), lambda _: None)
    server.start("127.0.0.1", 0)
    rounded = Face(
        id=1,
        score=0.5,
        box=(100.0, 100.0, 90.0, 90.0),
        points=np.rint(face.points),
        points_z=np.rint(face.points_z),
    )
    packet = pack_frame(
        stamp=Stamp(1, 2), delay=None, size=(512, 512), faces=[rounded], jpeg=b"", drawn=False
    )
    server.show(lambda: packet)
    try:
        hashes = {}
        for file in ("", "main.js", "style.css", "mesh.json", "three/three.core.min.js"):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/{file}") as response:
                hashes[f"page {file}"] = hashlib.sha256(response.read()).hexdigest()
        frame = asyncio.run(_first_frame(server.port))
        assert frame == packet
        return {**hashes, "frame": hashlib.sha256(frame).hexdigest()}
    finally:
        server.close()


async def _first_frame(port: int) -> bytes:
    connection = await websocket_connect(f"ws://127.0.0.1:{port}/frames")
    await connection.write_message(READY)
    while not isinstance(message := await connection.read_message(), bytes):
        assert message is not None, "the server has closed the connection"
    connection.close()
    return message


def milliseconds_of_variants() -> dict[str, float]:
    """Return the median time of a run of each file of the landmark network."""
    times = {}
    crop = np.zeros((1, 256, 256, 3), np.uint8)
    for suffix in VARIANTS["face_landmarks"].values():
        network = Network(find_model(f"face_landmarks{suffix}.onnx"), kind="face_landmarks")
        network.run(crop)
        runs = []
        for _ in range(TIMED_RUNS):
            started = time.perf_counter()
            network.run(crop)
            runs.append(1000 * (time.perf_counter() - started))
        times[f"face_landmarks{suffix}.onnx"] = round(statistics.median(runs), 1)
    return times


def main() -> None:
    """Compute everything and write it."""
    inputs, results = map(Path, sys.argv[1:])
    results.mkdir()
    numbers, mesh_facts, face = of_one_image(np.load(inputs / "astronaut.npy"))
    numbers |= of_a_bag(inputs / "bag", results)
    facts = {
        "machine": platform.machine(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "OpenCV": cv2.__version__,
        "onnxruntime": onnxruntime.__version__,
        "channels in a group": channels_in_group(),
        "landmarks model": mesh_facts["landmarks model"],
        "ms of a run": milliseconds_of_variants(),
        "browser server": of_the_browser_server(face),
    }
    np.savez(results / "results.npz", **numbers)  # type: ignore[arg-type]
    (results / "facts.json").write_text(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
