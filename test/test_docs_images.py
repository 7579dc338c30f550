"""The images in README.md and docs/: there, small, and all of them shown somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import cv2

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IMAGES = ROOT / "docs/images"
LARGEST = 300_000


def images_of(page: Path) -> set[Path]:
    links = re.findall(r"!\[[^\]]+\]\(([^)#:]+)\)", page.read_text())
    return {(page.parent / link).resolve() for link in links}


def test_every_image_can_be_read_and_is_small() -> None:
    shown = set().union(*map(images_of, PAGES))
    assert shown == set(IMAGES.iterdir())
    for image in shown:
        assert image.stat().st_size < LARGEST, image
        assert cv2.imread(str(image)) is not None, image


def test_every_view_has_a_image_on_its_page_and_in_the_readme() -> None:
    readme = images_of(ROOT / "README.md")
    for view in ("rviz", "annotated_image", "interop", "browser"):
        image = IMAGES / f"{view}.jpg"
        assert image in readme
        assert image in images_of(ROOT / f"docs/{view}.md")


def test_links_between_the_pages_are_true() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
