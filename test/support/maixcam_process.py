"""The app of the MaixCAM, unchanged, in a process of its own on the stand-in for MaixPy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from link_peer import MAIXCAM_APP, PATIENCE

STAND_IN = Path(__file__).resolve().with_name("maix_stand_in")
TOKEN = "ABCD-EFGH-IJKL-MNOP"

#: Of the detector's input, and so of the camera's images.
WIDTH, HEIGHT = 320, 224


class MaixCamApp:
    """A running app; its data folder and what it has printed."""

    def __init__(
        self, folder: Path, port: int, *, settings: dict[str, str] | None = None, **knobs: object
    ) -> None:
        """Start it.

        Args:
            folder: for its data folder and its log; a second start finds the same token there.
            port: on 127.0.0.1.
            settings: more lines of its settings file.
            **knobs: of the stand-in, without MAIX_STAND_IN_ before their names.
        """
        self.port = port
        data = folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        lines = {"address": "127.0.0.1", "port": str(port), **(settings or {})}
        text = "\n".join(f"{name} = {value}" for name, value in lines.items())
        (data / "facemesh.ini").write_text(f"[facemesh]\n{text}\n")
        (data / "token.txt").write_text(f"{TOKEN}\n")
        self.captures_file = folder / "captures"
        self.captures_file.unlink(missing_ok=True)
        self._log = folder / "app.log"
        knobs = {"DATA_PATH": data, "CAPTURE_LOG": self.captures_file, **knobs}
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(STAND_IN), os.environ.get("PYTHONPATH", "")]),
            **{f"MAIX_STAND_IN_{name}": str(value) for name, value in knobs.items()},
        }
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "main.py"],
                cwd=MAIXCAM_APP,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def output(self) -> str:
        return self._log.read_text()

    def captures(self) -> list[float]:
        """The true times of its images on `time.monotonic`, in seconds, from number 0."""
        lines = self.captures_file.read_text().splitlines()
        return [1e-9 * int(line.split()[1]) for line in lines]

    def wait_until_it_listens(self) -> None:
        end = time.monotonic() + PATIENCE
        while "hosts can connect to" not in self.output():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < end, self.output()
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it, if it runs."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)

    def __enter__(self) -> MaixCamApp:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        assert "Traceback" not in self.output(), self.output()
