"""Images and their faces put together by stamp."""

from __future__ import annotations

import pytest

from maix_facemesh_ros.browser.stamp_matcher import (
    PATIENCE,
    WAITING_BYTES,
    WAITING_MESSAGES,
    Match,
    StampMatcher,
)
from maix_facemesh_ros.image import Stamp


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def matcher(clock: Clock) -> StampMatcher:
    return StampMatcher(clock)


def test_whichever_comes_second_makes_the_match(matcher: StampMatcher) -> None:
    assert matcher.add_image(Stamp(1, 0), b"image") is None
    assert matcher.add_faces(Stamp(1, 0), b"faces") == Match(Stamp(1, 0), b"faces", b"image")
    assert matcher.add_faces(Stamp(2, 5), b"faces") is None
    assert matcher.add_image(Stamp(2, 5), b"image") == Match(Stamp(2, 5), b"faces", b"image")


def test_nothing_older_follows_a_match(matcher: StampMatcher) -> None:
    for second in range(5):
        matcher.add_image(Stamp(second, 0), b"image")
    assert matcher.add_faces(Stamp(3, 0), b"faces") is not None
    assert matcher.add_faces(Stamp(2, 0), b"faces") is None
    assert matcher.add_faces(Stamp(4, 0), b"faces") is not None


def test_a_bag_that_starts_again_goes_on(matcher: StampMatcher) -> None:
    for second in (7, 8, 1, 2):
        matcher.add_image(Stamp(second, 0), b"image")
        assert matcher.add_faces(Stamp(second, 0), b"faces") is not None


def test_alone_is_shown_what_stays_alone(matcher: StampMatcher, clock: Clock) -> None:
    assert matcher.add_image(Stamp(1, 0), b"image") is None
    clock.now += PATIENCE + 0.1
    assert matcher.add_image(Stamp(2, 0), b"image") == Match(Stamp(2, 0), None, b"image")
    assert not matcher.never_fit
    matcher.add_faces(Stamp(2, 0), b"faces")
    assert matcher.add_image(Stamp(3, 0), b"image") is None

    clock.now += PATIENCE + 0.1
    assert matcher.add_faces(Stamp(9, 0), b"faces") == Match(Stamp(9, 0), b"faces", None)
    assert not matcher.never_fit


def test_two_that_never_fit_are_noticed(matcher: StampMatcher, clock: Clock) -> None:
    for second in range(5):
        clock.now += 0.5
        match = matcher.add_image(Stamp(second, 0), b"image")
        assert matcher.add_faces(Stamp(second, 1), b"faces") is None, "faces of another image"
    assert match == Match(Stamp(4, 0), None, b"image")
    assert matcher.never_fit
    matcher.add_faces(Stamp(4, 0), b"faces")
    assert not matcher.never_fit


def test_little_waits(matcher: StampMatcher) -> None:
    for second in range(3 * WAITING_MESSAGES):
        matcher.add_image(Stamp(second, 0), b"image")
        matcher.add_faces(Stamp(second, 1), b"faces")
    assert matcher.add_faces(Stamp(2 * WAITING_MESSAGES - 1, 0), b"faces") is None
    assert matcher.add_faces(Stamp(2 * WAITING_MESSAGES, 0), b"faces") is not None

    large = bytes(WAITING_BYTES // 3)
    for second in range(4):
        matcher.add_image(Stamp(second, 7), large)
    assert matcher.add_faces(Stamp(0, 7), b"faces") is None
    assert matcher.add_faces(Stamp(1, 7), b"faces") is not None
    huge = bytes(WAITING_BYTES + 1)
    matcher.add_image(Stamp(9, 9), huge)
    assert matcher.add_faces(Stamp(9, 9), b"faces") is not None
