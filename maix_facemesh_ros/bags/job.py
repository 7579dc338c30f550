"""From recordings to faces: everything that one call of `facemesh_bag` does."""

from __future__ import annotations

import dataclasses
import heapq
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from maix_facemesh_ros.backends.onnx import open_networks
from maix_facemesh_ros.bags.bag_file import BagError, Damage
from maix_facemesh_ros.bags.bag_writing import BagWriter
from maix_facemesh_ros.bags.face_topics import FACES_TOPIC, FaceTopics, draw_in_stretch, face_topics
from maix_facemesh_ros.bags.following import FollowedCamera
from maix_facemesh_ros.bags.landmark_tables import TABLES, FaceTable
from maix_facemesh_ros.bags.network_results import PictureResults, StretchResults
from maix_facemesh_ros.bags.open_recording import open_recording
from maix_facemesh_ros.bags.partial_output import PartialOutput
from maix_facemesh_ros.bags.recordings import SECOND, Recording
from maix_facemesh_ros.bags.stretch_queue import Place, StretchQueue
from maix_facemesh_ros.bags.stretches import StretchTask
from maix_facemesh_ros.bags.workers import ClusterWorkers, LocalWorkers, Workers
from maix_facemesh_ros.camera_info import camera_of, read_calibration
from maix_facemesh_ros.camera_model import CalibrationError, CameraModel
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.parameters import NodeParameters, ParameterError

#: Stretches whose pictures are drawn into while later ones are followed.
DRAWN_AHEAD = 3

#: Of what is kept of an earlier attempt; another one is not gone on with.
FORMAT = 1

#: Is called with a number of pictures whenever so many more are done.
Progress = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What is to be made of what."""

    inputs: tuple[Path, ...]
    #: Folders of bags, or files that end in .csv or .parquet.
    outputs: tuple[Path, ...]
    parameters: NodeParameters
    #: Of bags, the topics of the pictures; none: all that there are.
    topics: tuple[str, ...] = ()
    faces_topic: str = FACES_TOPIC
    #: Put the pictures with their faces into the bag, as JPEG.
    annotated: bool = False
    #: Put everything of the input into the bag.
    copy: bool = False
    #: mcap or sqlite3.
    storage: str = "mcap"
    #: Processes; 1: this one alone.
    workers: int = 1
    #: Address of a Dask scheduler instead, or `local`.
    cluster: str = ""
    #: Throw away what an earlier attempt has left.
    restart: bool = False
    #: Pictures of a stretch; None: what suits.
    stretch_length: int | None = None


@dataclass(slots=True)
class Report:
    """What a job has done."""

    seconds: float = 0.0
    #: Seconds that were recorded, of all cameras together.
    recorded_seconds: float = 0.0
    pictures: int = 0
    faces: int = 0
    #: Pictures that could not be used, by the reason.
    unusable: Counter[str] = field(default_factory=Counter)
    #: What of the input could not be read, and what was unusual, in words.
    remarks: list[str] = field(default_factory=list)
    #: Stretches that an earlier attempt had looked at already.
    resumed_stretches: int = 0
    #: Tasks that had to be done again.
    retried: int = 0
    #: Runs of the networks that were not foreseen.
    not_foreseen: int = 0


class _Output(NamedTuple):
    """A message on its way into the bag."""

    log_time: int
    topic: str
    data: bytes


class Job:
    """Does it. To be used in a `with` statement; `run` does the work."""

    def __init__(self, options: JobOptions) -> None:
        """Open inputs and outputs.

        Raises:
            BagError: one of them cannot be used.
            ParameterError: the parameters are for something else.
            ModelError: a model file is missing or damaged.
        """
        self._options = options
        _check(options)
        self._started = time.monotonic()
        with ExitStack() as stack:
            self._partial = stack.enter_context(
                PartialOutput(options.outputs, _identity(options), restart=options.restart)
            )
            self._recordings = [
                self._open(stack, number, path) for number, path in enumerate(options.inputs)
            ]
            #: Of each recording, as far as others have met it.
            self._damage = [Damage() for _ in self._recordings]
            self._topics = [
                face_topics(
                    recording.cameras,
                    options.faces_topic,
                    annotations=options.parameters.foxglove_msgs,
                    annotated=options.annotated,
                )
                for recording in self._recordings
            ]
            networks = open_networks(options.parameters)
            calibration = _calibration(options.parameters)
            self._cameras = [
                [
                    FollowedCamera(
                        recording,
                        camera,
                        options.parameters,
                        networks,
                        calibration,
                        options.stretch_length,
                    )
                    for camera in recording.cameras
                ]
                for recording in self._recordings
            ]
            self._workers = _open_workers(options)
            if self._workers is not None:
                stack.callback(self._workers.close)
            self._queue = StretchQueue(self._cameras, self._partial, self._workers)
            self._stack = stack.pop_all()

    @property
    def pictures(self) -> int:
        """Pictures to be looked at, as far as the recordings say so."""
        return sum(len(camera.log_times) for camera in chain(*self._cameras))

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier attempt is gone on with."""
        return self._partial.is_resumed

    def run(self, progress: Progress = lambda _pictures: None) -> Report:
        """Do it.

        Raises:
            BagError: something cannot be read or written.
        """
        if not self._partial.is_complete:
            with ExitStack() as tables:
                self._tables = [
                    tables.enter_context(
                        FaceTable(self._partial.place_of(path), self._options.parameters)
                    )
                    for path in self._options.outputs
                    if path.suffix in TABLES
                ]
                for number in range(len(self._recordings)):
                    self._write(number, progress)
        report = self._report()
        self._partial.publish()
        return report

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _open(self, stack: ExitStack, number: int, path: Path) -> Recording:
        unpacked = self._partial.unpacked / str(number)
        unpacked.mkdir(exist_ok=True)
        recording = open_recording(path, self._options.topics, unpacked)
        stack.callback(recording.close)
        return recording

    def _write(self, number: int, progress: Progress) -> None:
        """Find the faces of one recording and write them."""
        cameras, topics = self._cameras[number], self._topics[number]
        streams = [
            self._messages_of((number, index), topics[index], progress)
            for index in range(len(cameras))
        ]
        bags = [path for path in self._options.outputs if path.suffix not in TABLES]
        if self._options.copy:
            recorded = self._recordings[number].messages()
            # First, so that of one log time a picture comes before its faces.
            streams.insert(0, (_Output(m.log_time, m.topic.name, m.data) for m in recorded))
        merged = heapq.merge(*streams, key=lambda output: output.log_time)
        if not bags:
            deque(merged, maxlen=0)
            return
        with ExitStack() as stack:
            writers = [
                stack.enter_context(
                    BagWriter(self._bag_folder(path, number), self._options.storage)
                )
                for path in bags
            ]
            for writer in writers:
                for topic in self._recordings[number].topics if self._options.copy else ():
                    writer.add_topic(topic)
                for topic in chain(*(each.all() for each in topics)):
                    writer.add_topic(topic)
            for log_time, topic_name, data in merged:
                for writer in writers:
                    writer.write(topic_name, log_time, data)

    def _bag_folder(self, output: Path, number: int) -> Path:
        """Return the folder of a recording's bag: the output, or one in it for each recording."""
        folder = self._partial.place_of(output)
        if len(self._recordings) == 1:
            return folder
        folder.mkdir(exist_ok=True)
        names = [_name_of(path) for path in self._options.inputs]
        name = names[number]
        return folder / (name if names.count(name) == 1 else f"{name}_{number + 1}")

    def _messages_of(
        self, camera: tuple[int, int], topics: FaceTopics, progress: Progress
    ) -> Iterator[_Output]:
        """Give the messages of a camera, and write its rows into the tables."""
        followed = self._cameras[camera[0]][camera[1]]
        for picture, faces, jpeg in self._pictures_of(camera):
            progress(1)
            if picture.error:
                continue
            for table in self._tables:
                table.write(followed.recording.path, followed.camera.topic, picture, faces)
            for topic, data in topics.messages(picture, faces, jpeg):
                yield _Output(picture.log_time, topic, data)

    def _pictures_of(
        self, camera: tuple[int, int]
    ) -> Iterator[tuple[PictureResults, list[Face], bytes | None]]:
        """Give each picture of a camera with its faces and, if wanted, these drawn into it."""
        if not self._options.annotated:
            for stretch in self._stretches_of(camera):
                for picture, faces in stretch:
                    yield picture, faces, None
            return
        waiting: deque[tuple[list[tuple[PictureResults, list[Face]]], Future[list[bytes]]]] = (
            deque()
        )
        for number, stretch in enumerate(self._stretches_of(camera)):
            pictures = list(stretch)
            waiting.append((pictures, self._draw((*camera, number), pictures)))
            if len(waiting) > (DRAWN_AHEAD if self._workers else 0):
                yield from _drawn(*waiting.popleft())
        for each in waiting:
            yield from _drawn(*each)

    def _stretches_of(
        self, camera: tuple[int, int]
    ) -> Iterator[Iterator[tuple[PictureResults, list[Face]]]]:
        """Give the pictures of each stretch with their faces, in order."""
        followed = self._cameras[camera[0]][camera[1]]
        for number, stretch in enumerate(followed.stretches):
            place: Place = (*camera, number)
            known = self._queue.results(place)
            collected = StretchResults()
            yield followed.follow(stretch, known, collected)
            if known is None:
                self._queue.save(place, collected)
            else:
                self._damage[camera[0]].add(known.damage)

    def _draw(
        self, place: Place, pictures: Sequence[tuple[PictureResults, list[Face]]]
    ) -> Future[list[bytes]]:
        followed = self._cameras[place[0]][place[1]]
        stretch = followed.stretches[place[2]]
        task = StretchTask(
            followed.recording.path.absolute(),
            self._partial.unpacked / str(place[0]),
            followed.camera,
            stretch,
            stretch.start,
            self._options.parameters,
        )
        faces = [None if picture.error else found for picture, found in pictures]
        if self._workers is not None:
            return self._workers.submit(draw_in_stretch, task, faces)
        done: Future[list[bytes]] = Future()
        done.set_result(draw_in_stretch(task, faces))
        return done

    def _report(self) -> Report:
        cameras = list(chain(*self._cameras))
        counts = [camera.count for camera in cameras]
        remarks = []
        for recording, damage in zip(self._recordings, self._damage, strict=True):
            damage.add(recording.damage)
            found = [*recording.notes, *[str(damage)] * bool(damage)]
            remarks += [f"{recording.path}: {remark}" for remark in found]
        remarks += [
            f"{camera.camera.camera_info}: no poses, because the calibration cannot be used: "
            f"{camera.calibration_error}"
            for camera in cameras
            if camera.calibration_error and self._options.parameters.pose
        ]
        times = [camera.log_times for camera in cameras if len(camera.log_times)]
        return Report(
            seconds=time.monotonic() - self._started,
            recorded_seconds=sum(float(each[-1] - each[0]) / SECOND for each in times),
            pictures=sum(count.pictures for count in counts),
            faces=sum(count.faces for count in counts),
            unusable=sum((count.unusable for count in counts), Counter()),
            remarks=remarks,
            resumed_stretches=self._queue.resumed,
            retried=self._queue.retried,
            not_foreseen=sum(count.not_foreseen for count in counts),
        )


def _drawn(
    pictures: Sequence[tuple[PictureResults, list[Face]]], jpegs: Future[list[bytes]]
) -> Iterator[tuple[PictureResults, list[Face], bytes | None]]:
    for (picture, faces), jpeg in zip(pictures, jpegs.result(), strict=True):
        yield picture, faces, jpeg


def _check(options: JobOptions) -> None:
    """Refuse what cannot be done.

    Raises:
        ParameterError: the parameters ask for another machine.
        BagError: inputs and outputs do not go together.
    """
    if options.parameters.backend not in ("auto", "onnx"):
        raise ParameterError(
            f"backend is {options.parameters.backend!r}: recordings are looked at on the "
            "processor, so give onnx or auto"
        )
    for output in options.outputs:
        for path in options.inputs:
            if output.absolute() == path.absolute() or path.absolute() in output.absolute().parents:
                raise BagError(f"{output} is the input {path} or in it: name another output")
    has_bag = any(output.suffix not in TABLES for output in options.outputs)
    if not has_bag and (options.annotated or options.copy):
        raise BagError("pictures and messages of the input go into a bag: name one with --output")


def _identity(options: JobOptions) -> dict[str, Any]:
    """Return what the results of the networks depend on."""
    inputs = []
    for path in options.inputs:
        files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
        facts = [(each, each.stat()) for each in files if each.is_file()]
        inputs.append(
            {
                "path": str(path.absolute()),
                "files": [[each.name, stat.st_size, stat.st_mtime_ns] for each, stat in facts],
            }
        )
    return {
        "inputs": inputs,
        "topics": list(options.topics),
        "parameters": dataclasses.asdict(options.parameters)
        | {"landmarks_indices": list(options.parameters.landmarks_indices)},
        "stretch length": options.stretch_length,
        "format": FORMAT,
    }


def _calibration(parameters: NodeParameters) -> CameraModel | None:
    """Return the camera that the file `calibration_file` describes; None without one."""
    if not parameters.calibration_file:
        return None
    calibration = read_calibration(parameters.calibration_file)
    try:
        return camera_of(calibration, rectified=parameters.rectified == "yes")
    except CalibrationError as error:
        raise ParameterError(
            f"calibration_file is {parameters.calibration_file!r}: {error}"
        ) from error


def _open_workers(options: JobOptions) -> Workers | None:
    if options.cluster:
        return ClusterWorkers(options.cluster)
    return LocalWorkers(options.workers) if options.workers > 1 else None


def _name_of(path: Path) -> str:
    """Return what a recording is called in the output."""
    return path.absolute().stem if path.is_file() else path.absolute().name
