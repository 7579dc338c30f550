"""The settings and the token of this app: two files in its data folder."""

from __future__ import annotations

import configparser
import dataclasses
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maixcam_shared import link

SETTINGS_FILE = "facemesh.ini"
TOKEN_FILE = "token.txt"
SECTION = "facemesh"

#: Minimum number of letters and digits of a token chosen by the user.
SHORTEST_TOKEN = 8

_INTRODUCTION = """\
# Settings of the face mesh app, which reads them at its start.
# A missing line is added with its default.
"""
_YES_OR_NO = {"yes": True, "no": False}


class SettingsError(Exception):
    """A settings file cannot be used; the message gives the file, the reason and a remedy."""


def _setting(
    default: Any, meaning: str, minimum: float | None = None, maximum: float | None = None
) -> Any:
    metadata = {"meaning": meaning, "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Every setting: its name in the file, its default, its meaning and its range."""

    address: str = _setting(
        "0.0.0.0",
        "Address to listen on. 0.0.0.0: every network, USB and Wi-Fi. One of the device's\n"
        "addresses: that network only.",
    )
    port: int = _setting(link.DEFAULT_PORT, "TCP port to listen on.", 1, 65535)
    max_hosts: int = _setting(4, "Maximum number of hosts at the same time.", 1, 16)
    camera_width: int = _setting(
        0,
        "Width of the camera's images in pixels. 0: that of the face detector's input, which is\n"
        "the fastest. Larger: more precise landmarks. Not every camera has every size.",
        0,
        4096,
    )
    camera_height: int = _setting(
        0, "Height of the camera's images in pixels, see camera_width.", 0, 4096
    )
    camera_fps: float = _setting(0.0, "Images per second. 0: the camera's default.", 0, 240)
    mirror: bool = _setting(False, "Mirror the images, left to right: yes or no.")
    flip: bool = _setting(False, "Turn the images upside down: yes or no.")
    draw_landmarks: bool = _setting(
        False,
        "Show images and landmarks on the screen: yes or no. It takes time; with no, the screen\n"
        "shows addresses, token, hosts and rate only.",
    )
    detector_model: str = _setting("", "The face detector's .mud file. Empty: that of the device.")
    landmarks_model: str = _setting(
        "", "The landmark model's .mud file. Empty: that of the device."
    )
    certificate: str = _setting(
        "",
        "For TLS: files of the certificate and of its key (PEM, the key without a password), with\n"
        "their whole path or in the folder of this file. Empty: what is sent is not encrypted.",
    )
    certificate_key: str = _setting("", "See certificate.")


def read_settings(folder: Path) -> Settings:
    """Read the settings; those that the file lacks, or all of it, are written there first.

    Args:
        folder: the app's data folder.

    Raises:
        SettingsError: the file cannot be read or written, or contains something else than settings.
    """
    file = folder / SETTINGS_FILE
    text = _read(file) if file.exists() else _INTRODUCTION
    values = _values(file, text)
    missing = [field for field in dataclasses.fields(Settings) if field.name not in values]
    if missing or not file.exists():
        _write(file, _with_defaults(text, missing))
    settings = Settings(**{name: _checked(file, name, value) for name, value in values.items()})
    return _in_folder(folder, _checked_together(file, settings))


def read_token(folder: Path) -> str:
    """Read the token; a new one is made if there is none.

    Args:
        folder: the app's data folder.

    Raises:
        SettingsError: the file cannot be read or written, or the token in it is too short.
    """
    file = folder / TOKEN_FILE
    if not file.exists():
        _write(file, link.new_token() + "\n")
    token = _read(file).strip()
    if sum(letter.isalnum() for letter in token) < SHORTEST_TOKEN or "\n" in token:
        raise SettingsError(
            f"{file} must hold one line with at least {SHORTEST_TOKEN} letters or digits: write a "
            "longer one, or delete the file to get a new one"
        )
    return token


def _values(file: Path, text: str) -> dict[str, str]:
    """Return the texts by the names of the settings."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text, str(file))
    except configparser.Error as error:
        raise SettingsError(" ".join(str(error).split())) from error
    sections = [section for section in parser.sections() if section != SECTION]
    if sections or parser.defaults():
        raise SettingsError(
            f"{file} has a section [{(sections or ['DEFAULT'])[0]}]: all settings belong to "
            f"[{SECTION}]"
        )
    values = dict(parser[SECTION]) if SECTION in parser else {}
    names = [field.name for field in dataclasses.fields(Settings)]
    for name in values:
        if name not in names:
            raise SettingsError(f"{file}: there is no setting {name}, but {', '.join(names)}")
    return values


def _with_defaults(text: str, missing: list[dataclasses.Field[Any]]) -> str:
    """Return the user's text, word for word, with the missing settings at its end."""
    written = io.StringIO()
    written.write(text)
    if text and not text.endswith("\n"):
        written.write("\n")
    if f"[{SECTION}]" not in (line.strip() for line in text.splitlines()):
        written.write(f"\n[{SECTION}]\n")
    for field in missing:
        comment = "\n".join(f"# {line}" for line in field.metadata["meaning"].splitlines())
        written.write(f"\n{comment}\n{field.name} = {_text(field.default)}".rstrip() + "\n")
    return written.getvalue()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _checked(file: Path, name: str, text: str) -> Any:
    """Return a value in the type of its setting."""
    field = next(field for field in dataclasses.fields(Settings) if field.name == name)
    wanted: type[Any] = type(field.default)
    if wanted is str:
        if field.default and not text:
            raise SettingsError(f"{file}: {name} is empty: give one such as {field.default}")
        return text
    if wanted is bool:
        if text.lower() not in _YES_OR_NO:
            raise SettingsError(f"{file}: {name} is {text!r}: give yes or no")
        return _YES_OR_NO[text.lower()]
    lowest, highest = field.metadata["minimum"], field.metadata["maximum"]
    try:
        value = wanted(text)
        fits = bool(lowest <= value <= highest)
    except ValueError:
        fits = False
    if not fits:
        kind = "a whole number" if wanted is int else "a number"
        raise SettingsError(f"{file}: {name} is {text!r}: give {kind} from {lowest} to {highest}")
    return value


def _checked_together(file: Path, settings: Settings) -> Settings:
    """Check the settings that come in pairs."""
    pairs = (("camera_width", "camera_height"), ("certificate", "certificate_key"))
    for one, other in pairs:
        if bool(getattr(settings, one)) != bool(getattr(settings, other)):
            raise SettingsError(f"{file}: give both {one} and {other}, or neither of them")
    return settings


def _in_folder(folder: Path, settings: Settings) -> Settings:
    """Return the settings with full paths of files that may be in the data folder."""
    if not settings.certificate:
        return settings
    return dataclasses.replace(
        settings,
        certificate=str(folder / settings.certificate),
        certificate_key=str(folder / settings.certificate_key),
    )


def _read(file: Path) -> str:
    try:
        # Editors on Windows put a mark of the encoding in front.
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from error


def _write(file: Path, text: str) -> None:
    """Write a file that only this user can read, as a whole or not at all.

    People pull the plug of a MaixCAM while it runs.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(handle)
        unfinished.replace(file)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error}") from error
