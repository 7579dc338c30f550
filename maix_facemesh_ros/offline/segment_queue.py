"""Who looks at which stretch, and when: as many ahead as there are workers for."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from maix_facemesh_ros.bags.storage import BagError, UnpackLimits
from maix_facemesh_ros.offline.checkpoint import PartialOutput
from maix_facemesh_ros.offline.network_results import StretchResults
from maix_facemesh_ros.offline.segments import StretchTask, find_in_stretch
from maix_facemesh_ros.offline.tasks import Task, Tasks
from maix_facemesh_ros.offline.tracking import FollowedCamera

#: Index of the recording, of its camera, and of the stretch.
Place = tuple[int, int, int]

#: Stretches for each worker that are looked at or wait for being followed: with more, more memory
#: is needed, and with less a worker may have nothing to do.
AHEAD = 2


class StretchQueue:
    """Gives the results of stretches in the order in which they are needed."""

    def __init__(
        self,
        recordings: Sequence[Sequence[FollowedCamera]],
        partial: PartialOutput,
        tasks: Tasks | None,
        limits: UnpackLimits,
    ) -> None:
        """Plan.

        Args:
            recordings: the cameras of each.
            partial: where results are kept.
            tasks: None: nobody looks ahead.
            limits: what compressed contents may unpack to.
        """
        self._recordings = recordings
        self._partial = partial
        self._tasks = tasks
        self._limits = limits
        #: Stretches that an earlier attempt had looked at.
        self.resumed = 0
        self._under_way: dict[Place, Task[bytes]] = {}
        self._to_come = deque(self._in_order() if tasks else ())

    def results(self, place: Place) -> StretchResults | None:
        """Return what the networks say of a stretch; None where nobody else looks at it."""
        path = self._partial.stretch(*place)
        if path.exists():
            try:
                known = StretchResults.from_bytes(path.read_bytes())
            except BagError:  # of a disk that was full, perhaps
                path.unlink()
            else:
                self.resumed += 1
                return known
        if self._tasks is None or not self._camera(place).recording.can_be_cut:
            return None
        self._look_ahead(self._tasks)
        if place not in self._under_way:
            self._submit(self._tasks, place)
        data = self._under_way.pop(place).result()
        self._look_ahead(self._tasks)
        _save(data, path)
        return StretchResults.from_bytes(data)

    def save(self, place: Place, results: StretchResults) -> None:
        """Keep what was found without others."""
        _save(results.to_bytes(), self._partial.stretch(*place))

    def task_of(self, place: Place, begin: int | None) -> StretchTask:
        """Return what another process has to know of a stretch.

        Args:
            place: of the stretch.
            begin: log time from which on images are looked at.
        """
        followed = self._camera(place)
        return StretchTask(
            followed.recording.path.absolute(),
            self._partial.unpacked(place[0]),
            followed.camera,
            followed.stretches[place[2]],
            begin,
            followed.parameters,
            self._limits,
        )

    def _camera(self, place: Place) -> FollowedCamera:
        return self._recordings[place[0]][place[1]]

    def _in_order(self) -> list[Place]:
        """Return all places: recording by recording, and in each by time."""
        order = [
            (recording, stretch.start or 0, camera, number)
            for recording, cameras in enumerate(self._recordings)
            for camera, followed in enumerate(cameras)
            if followed.recording.can_be_cut
            for number, stretch in enumerate(followed.stretches)
        ]
        return [(recording, camera, number) for recording, _, camera, number in sorted(order)]

    def _look_ahead(self, tasks: Tasks) -> None:
        while self._to_come and len(self._under_way) < AHEAD * tasks.workers.count:
            place = self._to_come.popleft()
            if place not in self._under_way and not self._partial.stretch(*place).exists():
                self._submit(tasks, place)

    def _submit(self, tasks: Tasks, place: Place) -> None:
        followed = self._camera(place)
        begin = followed.begin_of(followed.stretches[place[2]])
        self._under_way[place] = tasks.submit(find_in_stretch, self.task_of(place, begin))


def _save(data: bytes, path: Path) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(path)
