"""YOLOv8-face files in all layouts of exports; their faces are blobs, see blob_networks.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from blob_networks import (
    BOX_REACH,
    KEYPOINTS,
    NOSE,
    STRIDES,
    BlobView,
    Graph,
)

LAYOUTS = ("decoded", "strides", "maixcam2", "maixcam")


def write_yolov8(
    folder: Path,
    layout: str = "strides",
    size: tuple[int, int] = (640, 640),
    symbolic: bool = False,
) -> Path:
    """Write an export of a YOLOv8-face that sees blobs.

    Args:
        layout: one of LAYOUTS.
        size: width, height of the input.
        symbolic: leave batch, height and width of the declared shapes open.
    """
    width, height = size
    graph = Graph()
    views = [BlobView(graph, "images", stride, red=0, peak_value=1.0) for stride in STRIDES]
    grids = [(height // stride, width // stride) for stride in STRIDES]
    cells = sum(rows * columns for rows, columns in grids)
    batch: int | str = "batch" if symbolic else 1
    outputs: dict[str, tuple[str, tuple[int | str, ...]]] = {}
    sides: list[tuple[int | str, int | str]] = list(grids)
    count: int | str = cells
    if symbolic:
        sides, count = [(f"rows{stride}", f"columns{stride}") for stride in STRIDES], "anchors"

    flat_keypoints = _join(graph, [_keypoints(view) for view in views], len(KEYPOINTS) * 3)
    if layout == "strides":
        for stride, view, side in zip(STRIDES, views, sides, strict=True):
            head = graph.concat(_bins(view), view.score, _keypoints(view))
            outputs[f"head{stride}"] = head, (batch, 80, *side)
    elif layout == "maixcam2":
        for stride, view, side in zip(STRIDES, views, sides, strict=True):
            outputs[f"head{stride}"] = graph.concat(_bins(view), view.score), (batch, 65, *side)
        outputs["keypoints"] = flat_keypoints, (batch, 15, count)
    else:
        distances = _join(graph, [_distances(view) for view in views], 4)
        scores = graph.node("Sigmoid", _join(graph, [view.score for view in views], 1))
        if layout == "maixcam":
            outputs["dfl"] = graph.reshape(distances, 1, 1, 4, -1), (batch, 1, 4, count)
            outputs["sigmoid"] = scores, (batch, 1, count)
            outputs["keypoints"] = flat_keypoints, (batch, 15, count)
        else:
            head = _decode(graph, distances, scores, flat_keypoints, grids)
            outputs["output0"] = head, (batch, 20, count)
    shape = (batch, 3, "height", "width") if symbolic else (1, 3, height, width)
    return graph.save(folder / f"{layout}.onnx", shape, outputs)


def _distances(view: BlobView) -> str:
    """Left, top, right, bottom from the cell's center in cells: (1, 4, rows, columns)."""
    graph = view.graph
    left, top = (graph.node("Neg", center) for center in (view.x, view.y))
    starts = (left, top, view.x, view.y)
    return graph.concat(*(view.reach(*pair) for pair in zip(starts, BOX_REACH, strict=True)))


def _bins(view: BlobView) -> str:
    """The distances d as 16 bins, (1, 64, rows, columns): softmax of -(bin - d)^2 has mean d."""
    graph = view.graph
    bins = graph.constant(np.arange(16).reshape(1, 16, 1, 1))
    errors = [graph.node("Sub", d, bins) for d in graph.split(_distances(view), [1] * 4)]
    return graph.concat(*(graph.node("Neg", graph.node("Mul", e, e)) for e in errors))


def _keypoints(view: BlobView) -> str:
    """Raw key points, (1, 15, rows, columns): from the cell's corner in half cells, logits."""
    graph = view.graph
    seen = graph.node("Add", graph.node("Mul", view.score, 0.0), 5.0)
    channels = []
    for index, (x, y) in enumerate(KEYPOINTS):
        for center, distance in ((view.x, x), (view.y, y)):
            place = graph.node("Add", view.reach(center, distance), 0.5)
            channels.append(graph.node("Div", place, 2.0))
        channels.append(view.nose if index == NOSE else seen)
    return graph.concat(*channels)


def _join(graph: Graph, levels: list[str], channels: int) -> str:
    """(1, channels, rows, columns) of each stride as (1, channels, cells)."""
    return graph.concat(*(graph.reshape(level, 1, channels, -1) for level in levels), axis=2)


def _decode(
    graph: Graph, distances: str, scores: str, keypoints: str, grids: list[tuple[int, int]]
) -> str:
    """What Ultralytics' export adds: boxes and key points in pixels, (1, 20, cells)."""
    anchors = np.concatenate(
        [np.mgrid[:rows, :columns][::-1].reshape(2, -1) + 0.5 for rows, columns in grids], axis=1
    )
    strides = np.repeat(STRIDES, [rows * columns for rows, columns in grids])
    anchor, stride = graph.constant(anchors[np.newaxis]), graph.constant(strides[None, None])
    near, far = graph.split(distances, [2, 2])
    start, end = graph.node("Sub", anchor, near), graph.node("Add", anchor, far)
    center = graph.node("Div", graph.node("Add", start, end), 2.0)
    box = graph.node("Mul", graph.concat(center, graph.node("Sub", end, start)), stride)

    places, seen = graph.split(graph.reshape(keypoints, 1, 5, 3, -1), [2, 1], axis=2)
    corner = graph.constant(anchors[None, None] - 0.5)
    places = graph.node("Add", graph.node("Mul", places, 2.0), corner)
    places = graph.node("Mul", places, stride)
    points = graph.concat(places, graph.node("Sigmoid", seen), axis=2)
    return graph.concat(box, scores, graph.reshape(points, 1, 15, -1))
