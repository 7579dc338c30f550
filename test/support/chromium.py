"""Chromium without a screen, driven by Selenium: what the tests of the page look with.

PYTEST_DONT_REWRITE: it has been imported already, for its functions, when it is a plugin.
"""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.image import Pixels

#: Seconds that a page may take on a busy machine.
PATIENCE = 60.0

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # root, as in CI, has none
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    # WebGL without a graphics card.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)

#: What the console says of a server that is away, and is meant to.
SERVER_AWAY = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "WebSocket connection to")


class Browser:
    """One window of Chromium."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        self.driver.get(address)

    def leave(self) -> None:
        """Leave the page."""
        self.driver.get("about:blank")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """Return the text of an element, empty if there is none or it is hidden."""
        return str(
            self.run(
                "return document.querySelector(arguments[0])?.checkVisibility()"
                " ? document.querySelector(arguments[0]).innerText : ''",
                selector,
            )
        )

    def canvas(self, selector: str) -> Pixels:
        """Return a canvas's pixels, uint8 (H, W, 4): red, green, blue, opacity."""
        address = self.run(
            "return document.querySelector(arguments[0]).toDataURL('image/png')", selector
        )
        data = np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        assert image is not None
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA), np.uint8)

    def wait_until(
        self, condition: Callable[[], Any], what: str, meanwhile: Callable[[], None]
    ) -> None:
        """Wait for a condition, and do something meanwhile, again and again."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"no {what}: {self.text('body')}"
            meanwhile()

    def complaints(self) -> list[str]:
        """Return the errors on the console, but for those of a server that is away."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE"
            and not any(sign in entry["message"] for sign in SERVER_AWAY)
        ]


@contextmanager
def a_browser(folder: Path, width: int = 1500, height: int = 1000) -> Iterator[Browser]:
    """Start Chromium with a profile of its own in the folder; skips where there is none."""
    selenium = pytest.importorskip("selenium.webdriver")
    service = pytest.importorskip("selenium.webdriver.chrome.service")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("there is no Chromium: apt install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = selenium.Chrome(options=options, service=service.Service(driver))
    try:
        yield Browser(started)
    finally:
        started.quit()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with a_browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """The window, at no page before and after a test."""
    window.leave()
    window.complaints()
    yield window
    window.leave()
