"""The app that runs: when it ends, its folder and its settings."""

from __future__ import annotations

import configparser
import tempfile
from pathlib import Path

from . import _knobs
from .err import Err

_PROJECT = "maixpy"


class _State:
    """What lasts as long as the process."""

    exit = False
    #: None until read for the first time; from then on other processes' changes are not seen.
    settings: configparser.RawConfigParser | None = None


def need_exit() -> bool:
    """Tell if the app is to end."""
    file = _knobs.path("EXIT_FILE")
    return _State.exit or (file is not None and file.exists())


def set_exit_flag(exit: bool) -> None:  # noqa: A002
    """Set what `need_exit` says."""
    _State.exit = exit


def app_id() -> str:
    """Return the id of the app.yaml in the current folder."""
    file = Path("app.yaml")
    if file.is_file():
        for line in file.read_text().splitlines():
            if line.startswith("id:"):
                return line[len("id:") :].strip(" ")
    return _PROJECT


def get_app_data_path() -> str:
    """Return the folder for the app's own files; it is made if it is not there."""
    folder = _knobs.path("DATA_PATH") or Path(tempfile.gettempdir()) / "maix_stand_in_data"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def get_app_config_path() -> str:
    """Return the file of the settings."""
    return f"{get_app_data_path()}/config.ini"


def get_app_config_kv(item: str, key: str, value: str = "", from_cache: bool = True) -> str:
    """Return a setting, or `value` if there is none."""
    return _settings(from_cache).get(item, key, fallback=value)


def set_app_config_kv(item: str, key: str, value: str, write_file: bool = True) -> Err:
    """Change a setting, for this process or for good."""
    settings = _settings(from_cache=True)
    if not settings.has_section(item):
        settings.add_section(item)
    settings.set(item, key, value)
    if write_file:
        with Path(get_app_config_path()).open("w") as file:
            settings.write(file)
    return Err.ERR_NONE


def _settings(from_cache: bool) -> configparser.RawConfigParser:
    if _State.settings is None or not from_cache:
        settings = configparser.RawConfigParser(strict=False)
        settings.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
        settings.read(get_app_config_path())
        Path(get_app_config_path()).touch()
        _State.settings = settings
    return _State.settings
