"""Stamps that go back a little continue a stream; stamps in milliseconds are recognized."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.analysis.stream_stamps import StampCheck, StreamClock, StreamTime
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Pixels

INTERVAL = 0.04


def moving(astronaut: Pixels, count: int) -> list[Pixels]:
    return [
        np.ascontiguousarray(astronaut[8:248, 60 + 2 * step : 380 + 2 * step])
        for step in range(count)
    ]


def times(stamps: Sequence[float], id_timeout: float = 0.5) -> list[StreamTime]:
    clock = StreamClock()
    return [clock.advance(stamp, id_timeout) for stamp in stamps]


def test_stamps_in_order_are_the_times_themselves() -> None:
    stamps = [1.7e9 + n / 30 for n in range(20)]
    assert times(stamps) == [StreamTime(stamp, is_new_stream=False) for stamp in stamps]


@pytest.mark.parametrize(
    "stamps",
    [
        [10 + n * INTERVAL - 0.3 * (n >= 4) for n in range(8)],
        [10 + n * INTERVAL for n in (0, 1, 3, 2, 4, 5)],
        [10.0, 10.0, 10.0],
    ],
    ids=["clock set back", "two swapped", "standing still"],
)
def test_time_goes_on_where_stamps_go_back_a_little(stamps: list[float]) -> None:
    found = times(stamps)
    assert not any(time.is_new_stream for time in found)
    steps = np.diff([time.seconds for time in found])
    assert (steps >= 0).all()
    moved = np.diff(stamps) != 0
    assert (steps[moved] > INTERVAL / 2).all()
    assert (steps < 3 * INTERVAL).all()


@pytest.mark.parametrize("step", [-0.5, -30.0, 1.5], ids=["id_timeout back", "far back", "ahead"])
def test_a_larger_jump_is_a_new_stream(step: float) -> None:
    assert [time.is_new_stream for time in times([10.0, 10.25, 10.25 + step])] == [
        *(False, False, True)
    ]


def test_images_without_stamps_follow_the_last_one() -> None:
    clock = StreamClock()
    assert clock.next_stamp == pytest.approx(1 / 30)
    clock.advance(5.0, 0.5)
    assert clock.next_stamp == pytest.approx(5.0 + 1 / 30)


@pytest.mark.parametrize("set_back", [0.3, 0.0], ids=["clock set back", "two swapped"])
def test_ids_and_smoothing_continue(astronaut: Pixels, set_back: float) -> None:
    """The same images as with good stamps, and after the step landmarks within 0.1 pixels."""
    images = moving(astronaut, 8)
    good = [10.0 + n * INTERVAL for n in range(len(images))]
    if set_back:
        bad = [stamp - set_back * (n >= 4) for n, stamp in enumerate(good)]
    else:
        bad = [*good[:3], good[4], good[3], *good[5:]]

    def points(stamps: list[float], smoothing: str = "one_euro") -> list[FloatArray]:
        with FaceMesh(tracking=True, max_face_num=1, smoothing=smoothing) as mesh:
            found = [
                mesh.process(image, stamp) for image, stamp in zip(images, stamps, strict=True)
            ]
        assert [[face.id for face in faces] for faces in found] == [[1]] * len(images)
        return [faces[0].points for faces in found]

    smoothed, raw = points(bad), points(good, smoothing="off")
    expected = points(good)
    for number in range(4, len(images)):
        assert np.abs(smoothed[number] - raw[number]).max() > 0, "smoothing has not started again"
        lag = np.abs(expected[number] - raw[number]).mean()
        assert np.abs(smoothed[number] - expected[number]).mean() < max(0.1, lag)


def notices(stamps: Sequence[float], arrivals: Sequence[float]) -> list[str]:
    check = StampCheck()
    return [
        notice
        for stamp, arrival in zip(stamps, arrivals, strict=True)
        if (notice := check.notice(stamp, arrival))
    ]


def test_milliseconds_are_named_once_with_the_cure() -> None:
    arrivals = [n * 0.033 for n in range(50)]
    (notice,) = notices([33.0 * n for n in range(50)], arrivals)
    assert "advance by 33 s" in notice
    assert "look like milliseconds" in notice
    assert "nanosec" in notice


@pytest.mark.parametrize(
    ("stamps", "arrivals"),
    [
        ([n / 30 for n in range(50)], [n / 30 for n in range(50)]),
        ([60.0 * n for n in range(50)], [60.0 * n for n in range(50)]),
        ([100.0 * (n // 10) + n / 30 for n in range(50)], [n / 30 for n in range(50)]),
        ([100.0 * (n < 25) + n / 30 for n in range(50)], [n / 30 for n in range(50)]),
    ],
    ids=["good", "an image a minute", "jumps now and then", "a bag that starts again"],
)
def test_other_stamps_are_not_taken_for_milliseconds(
    stamps: list[float], arrivals: list[float]
) -> None:
    assert notices(stamps, arrivals) == []
