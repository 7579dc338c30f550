"""Two bags that are played into facemesh_node, and the golden faces of each in test/data/replay.

As a program it writes the golden faces.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from replay_bags import DELAY, BagMaker, image_message, moving_scene, stamps

GOLDEN = Path(__file__).parents[1] / "data" / "replay"

#: Seconds for one replay. Generous: the machine may have other work.
TIMEOUT = 120.0

#: With --check: bit for bit the same.
EXACTLY = ("--pixels", "0", "--scores", "0", "--distances", "0", "--degrees", "0")


@dataclass(frozen=True)
class Replay:
    """A bag to play and the golden faces, both by this name, and how the node is to answer."""

    name: str
    topic: str
    #: Parameters of the node.
    parameters: tuple[str, ...]

    @property
    def golden(self) -> Path:
        """Folder with the golden faces."""
        return GOLDEN / self.name

    def make_bag(self, folder: Path) -> Path:
        """Make the bag in a folder, the same every time."""
        with BagMaker(folder / self.name) as bag:
            for stamp, image in zip(stamps(), moving_scene(), strict=False):
                message = image_message(image, stamp, jpeg=self.topic.endswith("/compressed"))
                bag.write(self.topic, message, stamp + DELAY)
        return folder / self.name

    def command(self, folder: Path, *options: str | Path) -> list[str | Path]:
        """Return what plays the bag in that folder into a node of its own."""
        return [
            *(
                sys.executable,
                "-m",
                "maix_facemesh_ros.programs.start",
                "facemesh_replay",
                folder / self.name,
            ),
            "--start-node",
            *(part for parameter in self.parameters for part in ("-p", parameter)),
            *options,
        ]

    def play(self, folder: Path, *options: str | Path) -> None:
        """Play it; the faces that are to be checked are right."""
        subprocess.run(self.command(folder, *options), check=True, timeout=TIMEOUT)


#: Faces that are tracked, smoothed or told apart for half a second depend on the images before;
#: without any of it each image stands alone.
RAW = Replay("raw", "/camera/image_raw", ("tracking:=true",))
JPEG = Replay(
    "jpeg",
    "/camera/image_raw/compressed",
    ("tracking:=false", "smoothing:=off", "id_timeout:=5.0", "landmarks_num:=68"),
)
REPLAYS = (RAW, JPEG)


def main() -> None:
    """Write the golden faces of every replay."""
    with tempfile.TemporaryDirectory() as folder:
        for replay in REPLAYS:
            replay.make_bag(Path(folder))
            shutil.rmtree(replay.golden, ignore_errors=True)
            replay.play(Path(folder), "--record", replay.golden)
            print(f"written: {replay.golden}")


if __name__ == "__main__":
    main()
