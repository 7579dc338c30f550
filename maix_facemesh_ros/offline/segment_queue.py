"""The faces of each segment, in order, while workers process the segments ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from maix_facemesh_ros.backends.onnx.tracker import FaceProvider
from maix_facemesh_ros.bags.output_folder import PartialOutput
from maix_facemesh_ros.bags.storage import BagError, UnpackLimits
from maix_facemesh_ros.offline.segment_faces import SegmentFaces, StreamState
from maix_facemesh_ros.offline.segments import SegmentTask, find_faces, find_in_segment
from maix_facemesh_ros.offline.tracking import RecordedCamera
from maix_facemesh_ros.offline.workers import Task, Workers

#: Index of the recording, of its camera, and of the segment.
Place = tuple[int, int, int]

#: Segments for each worker that are being processed or wait for their turn: more need more memory,
#: and with fewer a worker may have nothing to do.
AHEAD = 2


class SegmentQueue:
    """Returns the faces of segments in the order in which they are needed."""

    def __init__(
        self,
        recordings: Sequence[Sequence[RecordedCamera]],
        partial: PartialOutput,
        workers: Workers | None,
        provider: FaceProvider,
        limits: UnpackLimits,
    ) -> None:
        """Plan.

        Args:
            recordings: the cameras of each.
            partial: where results are kept.
            workers: None: this process does everything.
            provider: of detections and landmarks in this process.
            limits: maximum unpacked sizes.
        """
        self._recordings = recordings
        self._partial = partial
        self._workers = workers
        self._provider = provider
        self._limits = limits
        #: Segments that an earlier run had processed.
        self.resumed = 0
        #: Segments whose warm-up had not found the faces that are tracked.
        self.repeated = 0
        self._under_way: dict[Place, Task[bytes]] = {}
        self._to_come = deque(self._in_order() if workers else ())

    def faces(self, place: Place) -> SegmentFaces:
        """Return the faces of a segment; the ones before it must have been processed."""
        path = self._partial.segment(*place)
        found = _load(path)
        if found is not None:
            self.resumed += 1
            return found
        camera = self._camera(place)
        if not camera.recording.can_be_cut:
            found = self._find_here(place, camera.state)
        elif self._workers is None:
            found = self._find_here(place)
        else:
            found = SegmentFaces.from_bytes(self._find_in_worker(self._workers, place))
        if not camera.continues_with(found):
            self.repeated += 1
            found = self._find_here(place, camera.state)
        _save(found, path)
        return found

    def task_of(self, place: Place, state: StreamState | None = None) -> SegmentTask:
        """Return the task of a segment for another process."""
        camera = self._camera(place)
        return SegmentTask(
            camera.recording.path.absolute(),
            self._partial.unpacked(place[0]),
            camera.camera,
            camera.segments[place[2]],
            camera.parameters,
            self._limits,
            state,
        )

    def _camera(self, place: Place) -> RecordedCamera:
        return self._recordings[place[0]][place[1]]

    def _find_here(self, place: Place, state: StreamState | None = None) -> SegmentFaces:
        recording = self._camera(place).recording
        return find_faces(self.task_of(place, state), recording, self._provider)

    def _find_in_worker(self, workers: Workers, place: Place) -> bytes:
        self._submit_ahead(workers)
        if place not in self._under_way:
            self._under_way[place] = workers.submit(find_in_segment, self.task_of(place))
        found = self._under_way.pop(place).result()
        self._submit_ahead(workers)
        return found

    def _in_order(self) -> list[Place]:
        """Return all places: recording by recording, and in each by time."""
        order = [
            (recording, segment.start or 0, camera, number)
            for recording, cameras in enumerate(self._recordings)
            for camera, recorded in enumerate(cameras)
            if recorded.recording.can_be_cut
            for number, segment in enumerate(recorded.segments)
        ]
        return [(recording, camera, number) for recording, _, camera, number in sorted(order)]

    def _submit_ahead(self, workers: Workers) -> None:
        while self._to_come and len(self._under_way) < AHEAD * workers.count:
            place = self._to_come.popleft()
            if place not in self._under_way and not self._partial.segment(*place).exists():
                self._under_way[place] = workers.submit(find_in_segment, self.task_of(place))


def _load(path: Path) -> SegmentFaces | None:
    """Return the checkpoint of an earlier run; None if there is no readable one."""
    if not path.exists():
        return None
    try:
        return SegmentFaces.from_bytes(path.read_bytes())
    except BagError:  # of a disk that was full, perhaps
        path.unlink()
        return None


def _save(found: SegmentFaces, path: Path) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(found.to_bytes())
    partial.replace(path)
