"""`FaceMesh` and MediaPipe's FaceLandmarker: sizes, faces, blendshapes and pose, detectors."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.clips import faces_clip, single_face_clip
from benchmarks.downloads import FACE_LANDMARKER_TASK, DownloadError
from benchmarks.environments import NEWEST, OURS, PEERS
from benchmarks.measurement import Contender, Figure, Measurement, measure_by_turns
from benchmarks.options import Options
from benchmarks.report import Row, Section
from benchmarks.shared_image import Clip, SharedImage
from benchmarks.worker_process import NotMeasuredError, WorkerProcess

#: Width and height of the images.
SIZES = ((640, 360), (640, 480), (1280, 720), (1920, 1080))
SEVERAL = (1280, 720)

#: Our time as a fraction of MediaPipe's, at most, where it is a target.
VIDEO_LIMITS = {(640, 360): 0.60, (1920, 1080): 0.60}
IMAGE_LIMIT = 0.80
#: Limit of our time for this number of faces, relative to one face, on two cores.
FACES_LIMITS = {2: 1.25, 8: 4.5}
#: Milliseconds of a frame outside the networks, at most.
OUTSIDE_LIMITS = {(640, 480): 1.0, (1920, 1080): 2.0}

#: MediaPipe's landmarks of the outer corners of the eyes.
EYE_CORNERS = (33, 263)

#: The detectors that come with the package, and a user's own file for the others.
DETECTORS = ("full_range", "short_range", "yolov8_face", "yunet")


@dataclass(frozen=True)
class Task:
    """Something to do with each image of a clip."""

    clip: str
    video: bool = True
    faces: int = 1
    cores: int = 1
    blendshapes: bool = False
    pose: bool = False
    #: More parameters of `FaceMesh`.
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """A row before it is measured: the task, and by MediaPipe too if it is one for MediaPipe."""

    title: str
    task: Task
    limit: float | None = None
    #: Compare with us at this row's task instead.
    against: str = ""


def measure_video(options: Options) -> Section:
    """One face in a video, by sizes; then the same with blendshapes and pose."""
    clips = {_clip_name(size): faces_clip(*size) for size in SIZES}
    rows = [
        Comparison(f"{_clip_name(size)}", Task(_clip_name(size)), VIDEO_LIMITS.get(size))
        for size in SIZES
    ]
    skipped = []
    try:
        clips["real face 640x360"] = single_face_clip()
        rows.append(
            Comparison("a filmed face, 640x360", Task("real face 640x360"), VIDEO_LIMITS[640, 360])
        )
    except DownloadError as error:
        skipped.append(f"a filmed face, 640x360: {error}")
    small = _clip_name(SIZES[0])
    clips["still 640x360"] = faces_clip(*SIZES[0], movement=0.0)
    rows += [
        Comparison(f"{small}, a still scene", Task("still 640x360")),
        Comparison(f"{small}, two cores", Task(small, cores=2)),
        Comparison(f"{small}, blendshapes", Task(small, blendshapes=True)),
        Comparison(f"{small}, pose", Task(small, pose=True)),
        Comparison(f"{small}, blendshapes and pose", Task(small, blendshapes=True, pose=True)),
    ]
    title = "one face in a video, tracked; one core unless said otherwise"
    return _measure("video", title, clips, rows, options, skipped)


def measure_image(options: Options) -> Section:
    """One face, with the detector on every image, by sizes and detectors."""
    clips = {_clip_name(size): faces_clip(*size) for size in SIZES}
    rows = [
        Comparison(
            f"{name}, {detector}{remark}",
            Task(name, video=False, parameters={"detector": detector}),
            IMAGE_LIMIT,
        )
        for name in clips
        for detector, remark in (("short_range", " (as MediaPipe)"), ("full_range", " (default)"))
    ]
    skipped = []
    for detector in DETECTORS[2:]:
        file = options.detector_models.get(detector)
        if file is None:
            skipped.append(
                f"detector {detector}: its file is not part of this package; "
                f"--{detector.replace('_', '-')} FILE measures it"
            )
            continue
        task = Task(
            _clip_name(SIZES[0]),
            video=False,
            parameters={"detector": detector, "detector_model": str(file)},
        )
        rows.append(Comparison(f"{_clip_name(SIZES[0])}, {detector}", task))
    title = "one face, no tracking (detector and landmarks); one core"
    return _measure("image", title, clips, rows, options, skipped)


def measure_faces(options: Options) -> Section:
    """Several faces in a video, on one core and on two."""
    clips = {f"{number} faces": faces_clip(*SEVERAL, faces=number) for number in (1, 2, 4, 8)}
    size = _clip_name(SEVERAL)
    rows = [
        Comparison(f"{size}, {_faces(number)}, one core", Task(f"{number} faces", faces=number))
        for number in (1, 2, 4, 8)
    ]
    rows += [
        Comparison(
            f"{size}, {_faces(number)}, two cores", Task(f"{number} faces", faces=number, cores=2)
        )
        for number in (1, 2, 4, 8)
    ]
    section = _measure("faces", "several faces in a video, tracked", clips, rows, options, [])
    # Without MediaPipe: with it two faces took 1.8 times one, as if the second core was not free.
    one = "1 face, two cores, by ourselves"
    by_ourselves = [
        Comparison(
            f"{_faces(number)}, two cores, by ourselves",
            Task(f"{number} faces", faces=number, cores=2),
            FACES_LIMITS.get(number),
            against=one if number > 1 else "",
        )
        for number in (1, 2, 4, 8)
    ]
    alone = _measure(
        section.name, section.title, clips, by_ourselves, options, [], with_mediapipe=False
    )
    return replace(section, rows=[*section.rows, *alone.rows])


def measure_outside(options: Options) -> Section:
    """Time per frame outside the networks."""
    with ExitStack() as stack:
        worker = stack.enter_context(WorkerProcess(OURS))
        images, contenders = [], {}
        for size in SIZES:
            image = SharedImage(faces_clip(*size))
            stack.callback(image.close)
            images.append(image)
            contenders[_clip_name(size)] = worker.open(
                _clip_name(size),
                "face_mesh",
                image=image.path,
                shape=image.shape,
                watch_networks=True,
                max_face_num=1,
                tracking=True,
                threads=1,
            )
        measured = measure_by_turns(contenders, options.rounds, _show_all(images))
    rows = [
        Row(
            f"{_clip_name(size)}: all but the networks",
            Figure.milliseconds(_without_networks(measured[_clip_name(size)])),
            limit=OUTSIDE_LIMITS.get(size),
        )
        for size in SIZES
    ]
    rows += [
        Row(
            f"{_clip_name(size)}: the networks",
            Figure.milliseconds(measured[_clip_name(size)].answers),
        )
        for size in SIZES
    ]
    return Section("outside", "where the time of a video's frame goes: one face, one core", rows)


def _without_networks(measurement: Measurement) -> list[float]:
    pairs = zip(measurement.wall, measurement.answers, strict=True)
    return [wall - in_networks for wall, in_networks in pairs]


def _measure(
    name: str,
    title: str,
    clips: Mapping[str, Clip],
    comparisons: Sequence[Comparison],
    options: Options,
    skipped: list[str],
    *,
    with_mediapipe: bool = True,
) -> Section:
    """Measure all comparisons, interleaved."""
    with ExitStack() as stack:
        images = {clip_name: SharedImage(clip) for clip_name, clip in clips.items()}
        for image in images.values():
            stack.callback(image.close)
        ours = stack.enter_context(WorkerProcess(OURS))
        peers = open_mediapipes(stack, skipped) if with_mediapipe else {}
        contenders: dict[str, Contender] = {}
        for comparison in comparisons:
            task, image = comparison.task, images[comparison.task.clip]
            contenders[comparison.title] = _open_ours(ours, comparison.title, task, image)
            for peer, worker in peers.items():
                peer_name = f"{comparison.title}, {peer}"
                contenders[peer_name] = _open_peer(worker, peer_name, task, image)
        measured = measure_by_turns(contenders, options.rounds, _show_all(list(images.values())))
        rows = [
            row for comparison in comparisons for row in _rows(comparison, list(peers), measured)
        ]
    return Section(name, title, rows, skipped)


def open_mediapipes(stack: ExitStack, skipped: list[str]) -> dict[str, WorkerProcess]:
    """Return the workers with MediaPipe, by name and version."""
    workers = {}
    for environment in (PEERS, NEWEST):
        try:
            worker = stack.enter_context(WorkerProcess(environment))
            workers[f"MediaPipe {worker.version('mediapipe')}"] = worker
        except NotMeasuredError as error:
            skipped.append(f"MediaPipe in {environment.name}: {error}")
    return workers


def _open_ours(worker: WorkerProcess, name: str, task: Task, image: SharedImage) -> Contender:
    return worker.open(
        name,
        "face_mesh",
        cores=task.cores,
        image=image.path,
        shape=image.shape,
        max_face_num=task.faces,
        tracking=task.video,
        threads=task.cores,
        blendshapes=task.blendshapes,
        pose=task.pose,
        **task.parameters,
    )


def _open_peer(worker: WorkerProcess, name: str, task: Task, image: SharedImage) -> Contender:
    return worker.open(
        name,
        "face_landmarker",
        cores=task.cores,
        image=image.path,
        shape=image.shape,
        task=str(FACE_LANDMARKER_TASK.fetch()),
        video=task.video,
        faces=task.faces,
        blendshapes=task.blendshapes,
        pose=task.pose,
    )


def _rows(
    comparison: Comparison, peers: Sequence[str], measured: Mapping[str, Measurement]
) -> list[Row]:
    own = measured[comparison.title]
    if comparison.against:
        return [_row(comparison, "ours, 1 face", own, measured[comparison.against])]
    if not peers:
        return [Row(comparison.title, Figure.milliseconds(own.wall))]
    return [
        _row(comparison, peer, own, measured[f"{comparison.title}, {peer}"], apart=True)
        for peer in peers
    ]


def _row(
    comparison: Comparison, against: str, own: Measurement, peer: Measurement, apart: bool = False
) -> Row:
    return Row(
        comparison.title,
        Figure.milliseconds(own.wall),
        against,
        Figure.milliseconds(peer.wall),
        float(np.median(own.cpu) / np.median(peer.cpu)),
        comparison.limit,
        remark=_compare_answers(comparison.task.faces, own, peer) if apart else "",
    )


def _compare_answers(faces: int, own: Measurement, peer: Measurement) -> str:
    """Return the distance between the landmarks, and the faces missed by each."""
    distances, missing = [], [0, 0]
    for answer, reference in zip(own.answers, peer.answers, strict=True):
        found, expected = landmarks_of(answer), landmarks_of(reference)
        missing[0] += faces - len(found)
        missing[1] += faces - len(expected)
        for points in expected:
            if found:
                distances.append(distance_to_nearest(points, found))
    text = f"apart {np.mean(distances):.2f} %" if distances else "no face in common"
    if any(missing):
        text += f"; faces missed: {missing[0]} by us, {missing[1]} by it"
    return text


def distance_to_nearest(
    points: npt.NDArray[np.float32], others: Sequence[npt.NDArray[np.float32]]
) -> float:
    """Return the mean distance to the nearest face in percent of that between the eye corners."""
    right, left = EYE_CORNERS
    eyes = np.linalg.norm(points[left] - points[right])
    nearest = min(np.linalg.norm(points - other, axis=1).mean() for other in others)
    return 100 * float(nearest / eyes)


def landmarks_of(answer: Sequence[str]) -> list[npt.NDArray[np.float32]]:
    """Return the (478, 2) landmarks of each face in a contender's answer."""
    return [np.frombuffer(base64.b64decode(face), np.float32).reshape(-1, 2) for face in answer]


def _show_all(images: Sequence[SharedImage]) -> Callable[[int], None]:
    def show(number: int) -> None:
        for image in images:
            image.show(number)

    return show


def _clip_name(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _faces(number: int) -> str:
    return "1 face" if number == 1 else f"{number} faces"
