"""The slot between threads holds the latest item only."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from maix_facemesh_ros.sources.latest import LatestSlot

TIMEOUT = 10.0  # seconds


def test_item_goes_through() -> None:
    slot = LatestSlot[str]()
    assert slot.put("a") is False
    assert slot.take() == "a"
    assert slot.put("b") is False
    assert slot.take() == "b"


def test_new_item_replaces_the_one_that_waits_and_says_so() -> None:
    slot = LatestSlot[int]()
    assert [slot.put(number) for number in range(4)] == [False, True, True, True]
    assert slot.take() == 3
    assert slot.put(4) is False


def test_take_waits_for_an_item() -> None:
    slot = LatestSlot[str]()
    with ThreadPoolExecutor() as pool:
        taken = pool.submit(slot.take)
        time.sleep(0.05)
        assert not taken.done()
        slot.put("late")
        assert taken.result(TIMEOUT) == "late"


def test_close_wakes_everyone_who_waits() -> None:
    slot = LatestSlot[str]()
    results: list[str | None] = []
    # Daemons, so that one that is not woken cannot hold up the end of the tests.
    waiting = [
        threading.Thread(target=lambda: results.append(slot.take()), daemon=True) for _ in range(3)
    ]
    for thread in waiting:
        thread.start()
    time.sleep(0.05)
    slot.close()
    for thread in waiting:
        thread.join(2.0)
    assert results == [None, None, None]


def test_close_drops_what_is_in_the_slot() -> None:
    slot = LatestSlot[str]()
    slot.put("stale")
    slot.close()
    assert slot.take() is None
    assert slot.take() is None


def test_slow_taker_gets_the_latest_and_never_an_old_one() -> None:
    slot = LatestSlot[int]()
    taken = []

    def take_all() -> None:
        while (item := slot.take()) is not None:
            taken.append(item)
            time.sleep(0.002)

    taker = threading.Thread(target=take_all, daemon=True)
    taker.start()
    replaced = 0
    for number in range(1, 501):
        replaced += slot.put(number)
        time.sleep(0.0001)
    end = time.monotonic() + TIMEOUT
    while (not taken or taken[-1] != 500) and time.monotonic() < end:
        time.sleep(0.005)
    slot.close()
    taker.join(TIMEOUT)

    assert taken == sorted(set(taken))
    assert taken[-1] == 500
    assert len(taken) + replaced == 500
    assert replaced > 0
