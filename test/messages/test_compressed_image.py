"""JPEG and PNG from outside: whole ones are decoded, and nothing takes more than it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from crafted_images import (
    JPEG_END,
    PNG_START,
    encoded,
    jpeg_segment,
    png,
    png_chunk,
    progressive_jpeg,
    unpacking_profile,
    unpacking_text,
)
from maix_facemesh_ros.image import ImageError, Pixels
from maix_facemesh_ros.messages.compressed_image import (
    MOST_SCANS,
    check_compressed,
    check_jpeg,
    decode_compressed,
    decode_unchanged,
    read_image_file,
)

#: Ways to write the astronaut as JPEG: OpenCV's options.
JPEGS = {
    "baseline": (),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 16),
}


def decode(data: bytes) -> Pixels:
    return decode_compressed(check_compressed(data)).pixels


@pytest.fixture(scope="module")
def bgr(astronaut: Pixels) -> Pixels:
    return np.ascontiguousarray(astronaut[:, :, ::-1])


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_a_whole_jpeg_without_its_end_is_used_and_one_that_is_cut_is_not(
    bgr: Pixels, options: tuple[int, ...]
) -> None:
    whole = encoded(bgr, ".jpg", *options)
    expected = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)
    for data in (whole, whole + b"tail" * 9, whole[:-1], whole[:-2], whole[:-2] + b"\xff\xff"):
        np.testing.assert_array_equal(decode(data), expected)
    cuts = [*np.linspace(2, len(whole) - 500, 40).astype(int)]
    # Where a decoder waits for the next restart marker, too.
    restarts = [at for at in range(700, len(whole)) if whole[at : at + 2] == b"\xff\xd0"]
    assert (len(restarts) > 5) == (options == JPEGS["restarts"])
    cuts += [at + more for at in restarts for more in (0, 1, 2)]
    for cut in cuts:
        with pytest.raises(ImageError, match="cut short"):
            decode(whole[:cut])


def test_a_png_without_its_end_is_used_and_one_that_is_cut_is_not(bgr: Pixels) -> None:
    whole = encoded(bgr, ".png")
    for missing in (0, 1, 4, 8, 11, 12):
        np.testing.assert_array_equal(decode(whole[: len(whole) - missing]), bgr)
    np.testing.assert_array_equal(decode(whole + b"tail"), bgr)
    for cut in [*range(8, 40, 3), *np.linspace(41, len(whole) - 13, 20).astype(int)]:
        with pytest.raises(ImageError, match="cut short"):
            decode(whole[:cut])


REFUSED = {
    "a chunk of 4 GiB": (png(8, 8, png_chunk(b"tEXt", b"a\0b", 2**32 - 16)), "cut short: a part"),
    "a chunk of 2 GiB": (png(8, 8, png_chunk(b"IDAT", b"", 2**31 - 1)), "cut short: a part"),
    "no size": (PNG_START + png_chunk(b"IDAT", bytes(40)), "does not begin with its size"),
    "no width": (png(0, 8), "0x8, without pixels"),
    "huge PNG": (png(20_000, 20_000, rows=b"0"), "declare an image of 20000x20000"),
    "memory for a PNG": (png(7500, 7500, rows=b"0"), "takes 534 MB: the most is 360 MB"),
    "memory for 16 bits": (png(5000, 5000, bits=16, rows=b"0"), "takes 475 MB"),
    "memory for scans": (progressive_jpeg(7600, 7600, 0), "takes 548 MB"),
    "parts without end": (png(8, 8, *[png_chunk(b"teXt", b"")] * 100_000), "more than 100000"),
    "2000 scans": (progressive_jpeg(640, 480, 2000), f"more scans: decoded are {MOST_SCANS}"),
    "12 scans of 60 megapixels": (progressive_jpeg(7750, 7750, 11), "with 11 or more scans"),
    "lossless": (progressive_jpeg(8, 8, 0, frame=0xC3), "kind SOF3"),
    "arithmetic": (progressive_jpeg(8, 8, 0, frame=0xC9), "kind SOF9"),
    "no frame": (b"\xff\xd8" + jpeg_segment(0xDA, bytes((1, 1, 0, 0, 63, 0))), "channel"),
    "two frames": (
        progressive_jpeg(8, 8, 0)[:-2] + progressive_jpeg(9, 9, 0)[2:],
        "two frames",
    ),
    "no scan": (b"\xff\xd8" + JPEG_END, "without pixels"),
    "segments without end": (
        b"\xff\xd8" + jpeg_segment(0xFE, b"") * 10_001,
        "more than 10000 parts",
    ),
    "a segment that is too long": (b"\xff\xd8\xff\xe1\xff\xff123", "part of 65535 bytes"),
    "filling bytes": (b"\xff\xd8" + b"\xff" * 100_000, "more than 10000 parts"),
    "empty": (b"", "known are JPEG and PNG"),
    "GIF": (b"GIF89a" + bytes(100), "known are JPEG and PNG"),
}


def test_a_large_photo_may_take_what_a_small_file_may_not() -> None:
    """An image of 56 megapixels is refused in 60 kB, and not in the megabytes of a real one."""
    small = png(7500, 7500, rows=b"0")
    large = png(7500, 7500, png_chunk(b"teXt", bytes(6_000_000)), rows=b"0")
    with pytest.raises(ImageError, match="100 times the file"):
        check_compressed(small)
    assert check_compressed(large).size == (7500, 7500)


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_lies_about_its_lengths_is_refused_undecoded(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        check_compressed(data)


def test_a_jpeg_of_a_device_is_a_jpeg_of_the_announced_size(bgr: Pixels) -> None:
    assert check_jpeg(encoded(bgr, ".jpg"), (512, 512)).size == (512, 512)
    with pytest.raises(ImageError, match="a JPEG of 512x512 where a JPEG of 640x480 was"):
        check_jpeg(encoded(bgr, ".jpg"), (640, 480))
    with pytest.raises(ImageError, match="a PNG of 512x512 where a JPEG of 512x512 was"):
        check_jpeg(encoded(bgr, ".png"), (512, 512))


def test_scans_within_the_limits_are_decoded() -> None:
    assert decode(progressive_jpeg(640, 480, MOST_SCANS - 1)).shape == (480, 640, 3)


def test_damaged_contents_are_refused(bgr: Pixels) -> None:
    data = bytearray(encoded(bgr, ".png"))
    data[len(data) // 2] ^= 1  # The checksum is wrong now.
    with pytest.raises(ImageError, match="it is damaged in the part of"):
        decode(bytes(data))


def test_extras_of_a_png_do_not_change_its_pixels(bgr: Pixels) -> None:
    whole = encoded(bgr, ".png")
    animation = png_chunk(b"acTL", bytes((0, 0, 0, 2, 0, 0, 0, 0)))
    extras = (unpacking_text(1000), unpacking_profile(1000), animation)
    data = b"".join((whole[:33], *extras, whole[33:]))
    np.testing.assert_array_equal(decode(data), bgr)
    np.testing.assert_array_equal(decode_unchanged(check_compressed(data)), bgr)


def test_the_package_decodes_images_in_one_place_only() -> None:
    """All others would decode what is not checked."""
    package = Path(__file__).resolve().parents[2] / "maix_facemesh_ros"
    decoding = {
        file.name
        for file in package.rglob("*.py")
        if re.search(r"cv2\.(imdecode|imread)\(", file.read_text("utf-8"))
    }
    assert decoding == {"compressed_image.py"}


def test_an_image_file_is_read_by_its_contents(bgr: Pixels, tmp_path: Path) -> None:
    for extension in (".png", ".jpg", ".bmp", ".webp"):
        (tmp_path / "image.png").write_bytes(encoded(bgr, extension))
        image = read_image_file(tmp_path / "image.png").pixels
        assert np.abs(image.astype(int) - bgr).mean() < 5, extension
    (tmp_path / "image.png").write_bytes(encoded(bgr, ".png")[:5000])
    with pytest.raises(ImageError, match=r"image\.png is damaged: it is cut short"):
        read_image_file(tmp_path / "image.png")
    with pytest.raises(ImageError, match=r"nowhere\.png cannot be read: No such file"):
        read_image_file(tmp_path / "nowhere.png")


#: Decodes files, and prints for each the bytes that this took at its peak. Linux counts the peak
#: from the moment at which 5 is written into clear_refs.
PEAKS = """
import json, sys
from pathlib import Path
import cv2
from maix_facemesh_ros.messages.compressed_image import check_compressed, decode_compressed
from maix_facemesh_ros.image import ImageError

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])

peaks = {}
for file in sorted(Path(sys.argv[1]).iterdir()):
    data = file.read_bytes()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    try:
        decode_compressed(check_compressed(data))
    except ImageError:
        pass
    peaks[file.name] = status("VmHWM") - before
print(json.dumps(peaks))
"""

#: Bytes above an honest image of the same size that no file of up to 1 MB may take.
MOST_ABOVE_HONEST = 64 << 20


def test_no_file_of_1_mb_takes_more_than_an_honest_one_of_its_size(
    bgr: Pixels, tmp_path: Path
) -> None:
    size = (4000, 3000)
    black = np.zeros((3000, 4000, 3), np.uint8)
    honest = {
        "honest JPEG": encoded(black, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "honest PNG": encoded(black, ".png"),
    }
    random = np.random.default_rng(8)
    files = {
        **{name: data for name, (data, _) in REFUSED.items()},
        "texts": png(*size, *[unpacking_text(7_900_000)] * 100),
        "profile": png(*size, unpacking_profile(500_000_000)),
        "too many rows": png(*size, rows=bytes(900_000_000)),
        "too few rows": png(*size, rows=b"0"),
        "16 bits": png(*size, bits=16, rows=b"0"),
        "scans": progressive_jpeg(*size, 52),
        "few scans": progressive_jpeg(*size, 0)[:-2],
    }
    for number in range(40):
        mutated = bytearray(encoded(bgr, (".jpg", ".png")[number % 2]))
        for place in random.integers(0, min(700, len(mutated)), 5):
            mutated[place] = random.integers(256)
        files[f"mutated {number}"] = bytes(mutated)
    for name, data in {**honest, **files}.items():
        assert len(data) <= 1_500_000, (name, len(data))
        (tmp_path / name).write_bytes(data)
    ended = subprocess.run(
        [sys.executable, "-c", PEAKS, str(tmp_path)], capture_output=True, text=True, check=True
    )
    peaks = json.loads(ended.stdout)
    most = max(peaks[name] for name in honest)
    assert most > black.nbytes
    above = {name: (peaks[name] - most) / 2**20 for name in files}
    print("MiB above an honest image:", sorted(above.items(), key=lambda each: -each[1])[:6])
    assert max(above.values()) < MOST_ABOVE_HONEST / 2**20, above


#: Decodes files, and prints a checksum of each one's pixels, or that it is refused.
CHECKSUMS = """
import json, sys, zlib
from pathlib import Path
import cv2
from maix_facemesh_ros.messages.compressed_image import check_compressed, decode_compressed
from maix_facemesh_ros.image import ImageError

found = {"OpenCV": cv2.__version__}
for file in sorted(Path(sys.argv[1]).iterdir()):
    try:
        image = decode_compressed(check_compressed(file.read_bytes())).pixels
        found[file.name] = zlib.crc32(image.tobytes())
    except ImageError:
        found[file.name] = "refused"
print(json.dumps(found))
"""


def test_opencv_s_versions_agree(
    bgr: Pixels, opencv_4_5: Path, opencv_4_10: Path, opencv_5: Path, tmp_path: Path
) -> None:
    files: dict[str, bytes] = {}
    for name, options in JPEGS.items():
        whole = encoded(bgr, ".jpg", *options)
        files |= {f"{name}, whole": whole, f"{name}, no end": whole[:-2]}
        files |= {f"{name}, cut": whole[: len(whole) * 6 // 10], f"{name}, -5": whole[:-5]}
    whole = encoded(bgr, ".png")
    files |= {"PNG, whole": whole, "PNG, no end": whole[:-12], "PNG, cut": whole[:-20]}
    files["PNG, 16 bits"] = encoded(bgr[:, :, 0].astype(np.uint16) * 4, ".png")
    files["PNG, too few rows"] = png(100, 100, rows=bytes(101 * 60))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = [_checksums(folder, tmp_path) for folder in (None, opencv_4_5, opencv_4_10, opencv_5)]
    assert len({each.pop("OpenCV") for each in found}) >= 3
    assert found == [found[0]] * 4
    refused = {name for name, result in found[0].items() if result == "refused"}
    cut = {name for name in files if name.endswith((" cut", "few rows"))}
    assert refused - {"progressive, -5"} == cut


def _checksums(opencv: Path | None, files: Path) -> dict[str, int | str]:
    path = [str(opencv)] if opencv else []
    path += filter(None, [os.environ.get("PYTHONPATH")])
    ended = subprocess.run(
        [sys.executable, "-c", CHECKSUMS, str(files)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, int | str] = json.loads(ended.stdout)
    return found


def test_16_bits_of_a_png_have_levels() -> None:
    gray: npt.NDArray[np.uint16] = np.linspace(100, 1000, 64 * 64).reshape(64, 64).astype(np.uint16)
    image = decode_compressed(check_compressed(encoded(gray, ".png")))
    assert image.levels is not None
    assert image.pixels.shape == (64, 64, 3)
    assert image.pixels.max() - int(image.pixels.min()) > 150
