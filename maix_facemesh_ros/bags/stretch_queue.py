"""Who looks at which stretch, and when: as many ahead as there are workers for."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from maix_facemesh_ros.bags.bag_file import BagError
from maix_facemesh_ros.bags.following import FollowedCamera
from maix_facemesh_ros.bags.network_results import StretchResults
from maix_facemesh_ros.bags.partial_output import PartialOutput
from maix_facemesh_ros.bags.stretches import StretchTask, find_in_stretch
from maix_facemesh_ros.bags.workers import ATTEMPTS, Workers

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
        workers: Workers | None,
    ) -> None:
        """Plan.

        Args:
            recordings: the cameras of each.
            partial: where results are kept.
            workers: None: nobody looks ahead.
        """
        self._recordings = recordings
        self._partial = partial
        self._workers = workers
        #: Tasks that had to be done again.
        self.retried = 0
        #: Stretches that an earlier attempt had looked at.
        self.resumed = 0
        self._under_way: dict[Place, Future[bytes]] = {}
        self._to_come = deque(self._in_order()) if workers else deque[Place]()

    def results(self, place: Place) -> StretchResults | None:
        """Return what the networks say of a stretch; None where nobody else looks at it."""
        path = self._partial.stretch(*place)
        if path.exists() and place not in self._under_way:
            try:
                known = StretchResults.from_bytes(path.read_bytes())
            except BagError:  # of a disk that was full, perhaps
                path.unlink()
            else:
                self.resumed += 1
                return known
        if self._workers is None or not self._camera(place).recording.can_be_cut:
            return None
        self._look_ahead(self._workers)
        if place not in self._under_way:
            self._submit(self._workers, place)
        data = self._wait_for(self._workers, place)
        self._look_ahead(self._workers)
        _save(data, path)
        return StretchResults.from_bytes(data)

    def save(self, place: Place, results: StretchResults) -> None:
        """Keep what was found without workers."""
        _save(results.to_bytes(), self._partial.stretch(*place))

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

    def _look_ahead(self, workers: Workers) -> None:
        while self._to_come and len(self._under_way) < AHEAD * workers.count:
            place = self._to_come.popleft()
            if place not in self._under_way and not self._partial.stretch(*place).exists():
                self._submit(workers, place)

    def _submit(self, workers: Workers, place: Place) -> None:
        camera = self._camera(place)
        stretch = camera.stretches[place[2]]
        self._under_way[place] = workers.submit(
            find_in_stretch,
            StretchTask(
                camera.recording.path.absolute(),
                self._partial.unpacked / str(place[0]),
                camera.camera,
                stretch,
                camera.begin_of(stretch),
                camera.parameters,
            ),
        )

    def _wait_for(self, workers: Workers, place: Place) -> bytes:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                data = self._under_way[place].result()
            except BagError:
                raise
            except Exception as error:
                if attempt == ATTEMPTS:
                    path = self._camera(place).recording.path
                    raise BagError(
                        f"looking at {path} has failed {ATTEMPTS} times: "
                        f"{type(error).__name__}: {error}"
                    ) from error
                self._try_again(workers, place)
            else:
                del self._under_way[place]
                return data
        raise AssertionError("the last attempt returns or raises")

    def _try_again(self, workers: Workers, place: Place) -> None:
        """Submit a task again, and all others that have gone down with its process."""
        workers.recover()
        gone = [
            other
            for other, future in self._under_way.items()
            if other == place
            or (future.done() and isinstance(future.exception(), BrokenProcessPool))
        ]
        for other in gone:
            self.retried += 1
            self._submit(workers, other)


def _save(data: bytes, path: Path) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(path)
