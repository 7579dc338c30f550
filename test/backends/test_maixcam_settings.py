"""The files of the device's app: its settings and its token."""

from __future__ import annotations

import dataclasses
import re
import stat
from pathlib import Path

import pytest

from link_peer import settings

NAMES = [field.name for field in dataclasses.fields(settings.Settings)]


def write(folder: Path, text: str) -> Path:
    file = folder / settings.SETTINGS_FILE
    file.write_text(text)
    return file


def test_the_first_start_writes_every_setting_with_its_meaning(tmp_path: Path) -> None:
    assert settings.read_settings(tmp_path) == settings.Settings()
    text = (tmp_path / settings.SETTINGS_FILE).read_text()
    for name in NAMES:
        assert re.search(rf"^# .+\n{name} =", text, re.MULTILINE), name
    assert settings.read_settings(tmp_path) == settings.Settings()
    assert (tmp_path / settings.SETTINGS_FILE).read_text() == text


def test_the_users_values_are_taken(tmp_path: Path) -> None:
    write(
        tmp_path,
        "[facemesh]\naddress = 10.131.167.1\nport: 6000\nCAMERA_WIDTH = 640\ncamera_height=480\n"
        "camera_fps = 12.5\nmirror = Yes\ndetector_model = /root/models/a%b.mud\n",
    )
    read = settings.read_settings(tmp_path)
    assert read == settings.Settings(
        address="10.131.167.1",
        port=6000,
        camera_width=640,
        camera_height=480,
        camera_fps=12.5,
        mirror=True,
        detector_model="/root/models/a%b.mud",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# mine",
        "[facemesh]",
        "# mine\n[facemesh]\n# quick\nport = 6000  \n",
        "\ufeff[facemesh]\r\nport = 6000\r\n",
    ],
)
def test_missing_settings_are_added_and_nothing_is_lost(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, text)
    settings.read_settings(tmp_path)
    after = file.read_text()
    for line in text.lstrip("\ufeff").splitlines():
        assert line in after
    read = settings.read_settings(tmp_path)
    assert read == settings.Settings(port=6000 if "6000" in text else settings.Settings().port)
    assert file.read_text() == after
    assert all(len(re.findall(rf"^{name} =", after, re.MULTILINE)) == 1 for name in NAMES)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("port = many", "port is 'many': give a whole number from 1 to 65535"),
        ("port = 0", "port is '0': give a whole number from 1 to 65535"),
        ("port = 80.5", "port is '80.5': give a whole number"),
        ("port =", "port is '': give a whole number"),
        ("camera_fps = nan", "camera_fps is 'nan': give a number from 0 to 240"),
        ("max_hosts = 17", "max_hosts is '17': give a whole number from 1 to 16"),
        ("mirror = 1", "mirror is '1': give yes or no"),
        ("address =", "address is empty: give one such as 0.0.0.0"),
        ("camera_width = 640", "give both camera_width and camera_height, or neither of them"),
        ("certificate = a.pem", "give both certificate and certificate_key"),
        ("prot = 5478", "there is no setting prot, but address, port"),
        ("port", "facemesh.ini"),
        ("[tls]", "has a section [tls]: all settings belong to [facemesh]"),
        ("[DEFAULT]\nport = 1", "has a section [DEFAULT]"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    file = write(tmp_path, f"[facemesh]\n{line}\n")
    with pytest.raises(settings.SettingsError, match=re.escape(words)) as error:
        settings.read_settings(tmp_path)
    assert str(file) in str(error.value)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / settings.SETTINGS_FILE
    file.write_bytes(b"\xff\xfe\0")
    with pytest.raises(settings.SettingsError, match=f"{file} cannot be read"):
        settings.read_settings(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(settings.SettingsError, match=f"{file} cannot be read"):
        settings.read_settings(tmp_path)


def test_lines_without_a_section_are_named(tmp_path: Path) -> None:
    write(tmp_path, "port = 5478\n")
    with pytest.raises(settings.SettingsError, match="no section headers"):
        settings.read_settings(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    with pytest.raises(settings.SettingsError, match=f"{folder}/facemesh.ini cannot be written"):
        settings.read_settings(folder)
    with pytest.raises(settings.SettingsError, match=f"{folder}/token.txt cannot be written"):
        settings.read_token(folder)


def test_certificates_lie_beside_the_settings_or_where_they_say(tmp_path: Path) -> None:
    write(tmp_path, "[facemesh]\ncertificate = a.pem\ncertificate_key = /etc/key.pem\n")
    read = settings.read_settings(tmp_path)
    assert read.certificate == str(tmp_path / "a.pem")
    assert read.certificate_key == "/etc/key.pem"


def test_a_token_is_made_once_and_is_the_users_alone(tmp_path: Path) -> None:
    token = settings.read_token(tmp_path)
    assert re.fullmatch("([A-Z2-7]{4}-){3}[A-Z2-7]{4}", token)
    assert settings.read_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / settings.TOKEN_FILE).stat().st_mode) == 0o600
    (tmp_path / settings.TOKEN_FILE).unlink()
    assert settings.read_token(tmp_path) != token


def test_a_file_left_unfinished_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "token.txt.unfinished").write_text("AB")
    assert len(settings.read_token(tmp_path)) == 19
    assert [file.name for file in tmp_path.iterdir()] == [settings.TOKEN_FILE]


def test_the_users_own_token_is_taken(tmp_path: Path) -> None:
    (tmp_path / settings.TOKEN_FILE).write_text(" my-robot-7 \r\n")
    assert settings.read_token(tmp_path) == "my-robot-7"


@pytest.mark.parametrize("text", ["", "\n", "short-7", "-" * 40, "ABCD-EFGH\nIJKL-MNOP\n"])
def test_a_token_that_is_too_short_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / settings.TOKEN_FILE).write_text(text)
    with pytest.raises(settings.SettingsError, match="at least 8 letters or digits"):
        settings.read_token(tmp_path)
    assert (tmp_path / settings.TOKEN_FILE).read_text() == text
