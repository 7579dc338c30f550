"""Contenders in separate processes: the measuring side of `worker.py`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT, python_of, variables_for
from benchmarks.measurement import Contender, Step


class NotMeasuredError(RuntimeError):
    """Something cannot be measured here; the text gives the reason."""


class WorkerProcess:
    """A worker in one of the environments."""

    def __init__(self, environment: Path) -> None:
        """Start it.

        Raises:
            NotMeasuredError: the environment is missing.
        """
        try:
            python = python_of(environment)
        except FileNotFoundError as error:
            raise NotMeasuredError(str(error)) from error
        self._log = ROOT / "build" / "bench" / f"{environment.name.lstrip('.')}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, "-m", "benchmarks.worker"],
                cwd=ROOT,
                env=variables_for(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def version(self, package: str) -> str:
        """Return the version of a package in the worker's environment."""
        return str(self._ask({"version": package})["version"])

    def open(self, name: str, kind: str, *, cores: int = 1, **arguments: Any) -> Contender:
        """Return a contender.

        Args:
            name: to close it by.
            kind: one of `worker.KINDS`.
            cores: maximum number for the process and its threads.
            **arguments: for the factory; JSON values.

        Raises:
            NotMeasuredError: it cannot be made.
        """
        self._ask({"open": name, "kind": kind, "cores": cores, **arguments})

        def step(number: int) -> Step:
            return Step(**self._ask({"step": name, "number": number}))

        return step

    def close_contender(self, name: str) -> None:
        """Close the contender."""
        self._ask({"close": name})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise NotMeasuredError(
                f"the worker ended with {self._process.wait()}: {self._log} has what it said"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise NotMeasuredError(answer["error"])
        return answer

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
