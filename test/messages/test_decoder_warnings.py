"""The decoders' warnings on standard error, which are limited in programs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import pytest

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.messages import decoder_warnings
from maix_facemesh_ros.messages.compressed_image import check_compressed, decode_compressed


@pytest.fixture
def damaged(astronaut: Pixels) -> bytes:
    """A JPEG with bytes too many, as cheap cameras send them: only the decoder sees it."""
    data = cv2.imencode(".jpg", astronaut)[1].tobytes()
    return data[:-2] + bytes(20) + data[-2:]


@contextmanager
def limited() -> Iterator[None]:
    """Not a fixture: pytest has another standard error while it makes them."""
    decoder_warnings.limit()
    yield
    decoder_warnings.release()


def decode(data: bytes) -> None:
    decode_compressed(check_compressed(data))


def test_each_damaged_image_writes_a_line_without_the_limit(
    damaged: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        decode(damaged)
    assert capfd.readouterr().err.count("Corrupt JPEG data") == 20


def test_one_line_a_minute_with_the_number_of_the_others(
    damaged: bytes, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited():
        for _ in range(20):
            decode(damaged)
        assert capfd.readouterr().err.count("\n") == 1
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 61)
        decode(damaged)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("an image is damaged: Corrupt JPEG data")
    assert line.endswith("(19 more of such lines were left out)")


def test_lines_of_other_threads_are_all_written(
    damaged: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    def log() -> None:
        for number in range(2000):
            os.write(2, f"[INFO] line {number}\n".encode())

    thread = threading.Thread(target=log)
    thread.start()
    with limited(), ThreadPoolExecutor(2) as decoders:
        for _ in range(40):
            decoders.submit(decode, damaged)
        thread.join()
    lines = capfd.readouterr().err.splitlines()
    # One that is written while standard error changes may come after the next ones.
    assert sorted(line for line in lines if line.startswith("[INFO]")) == sorted(
        f"[INFO] line {number}" for number in range(2000)
    )
    assert len(lines) == 2001


def test_release_writes_what_was_diverted(capfd: pytest.CaptureFixture[str]) -> None:
    decoder_warnings.limit()
    with decoder_warnings.limited():
        os.write(2, b"[INFO] before\n")
        decoder_warnings.release()
        os.write(2, b"[INFO] after\n")
    assert capfd.readouterr().err == "[INFO] before\n[INFO] after\n"
