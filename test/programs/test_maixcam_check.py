"""`facemesh maixcam-check` against the app, unchanged, on the stand-in for MaixPy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from link_peer import free_port
from maix_facemesh_ros.face import FaceFrame
from maix_facemesh_ros.programs.maixcam_check import main
from maix_facemesh_ros.programs.maixcam_report import _rate
from maixcam_process import HEIGHT, TOKEN, WIDTH, MaixCamApp


@pytest.fixture
def app(tmp_path: Path) -> Iterator[MaixCamApp]:
    made = MaixCamApp(tmp_path / "device", free_port())
    made.wait_until_it_listens()
    yield made
    made.stop()


def test_a_device_that_is_well(
    app: MaixCamApp, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    address, output = f"127.0.0.1:{app.port}", tmp_path / "report"
    options = ["--token-file", str(token), "--seconds", "3", "--output", str(output)]
    code = main([address, *options])
    said = capsys.readouterr().out
    assert code == 0, said
    for words in ("connected, token accepted", "link: connected", "rate: ", "faces: in "):
        assert words in said
    assert said.endswith("all is well\n")
    assert TOKEN not in said
    images = sorted(output.iterdir())
    assert [path.name for path in images] == [f"maixcam_{n}.jpg" for n in (1, 2, 3)]
    for path in images:
        image = cv2.imread(str(path))
        assert image is not None
        assert image.shape == (HEIGHT, WIDTH, 3)


def test_a_slow_device_without_faces_is_not_well() -> None:
    frames = [(time, FaceFrame(time - 0.1, WIDTH, HEIGHT, [])) for time in (0.0, 0.3, 2.0)]
    slow, gap, no_face = _rate(frames)
    assert slow.startswith("1.0 frames per second")
    assert gap.startswith("no frame for 1.7 s")
    assert no_face.startswith("no face was found")


def test_what_is_wrong_is_one_line(app: MaixCamApp, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{app.port}"
    for arguments in (
        [address, "--token", "ABCD-EFGH-IJKL-WRONG"],
        [f"127.0.0.1:{free_port()}", "--token", TOKEN],
        [address, "--token-file", "/nothing/here"],
    ):
        assert main(arguments) == 1
        said = capsys.readouterr().err
        assert said.startswith("facemesh maixcam-check: ")
        assert said.count("\n") == 1
