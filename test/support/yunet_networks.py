"""YuNet files; their faces are blobs, see blob_networks.py."""

from __future__ import annotations

from pathlib import Path

from blob_networks import BOX_REACH, KEYPOINTS, STRIDES, BlobView, Graph

OUTPUTS = ("cls", "obj", "bbox", "kps")


def write_yunet(
    folder: Path,
    size: tuple[int, int] = (640, 640),
    symbolic: bool = False,
    named: bool = True,
    without: str = "",
) -> Path:
    """Write a YuNet that sees blobs: 12 outputs as face_detection_yunet_2023mar.onnx has them.

    Args:
        size: width, height of the input.
        symbolic: leave batch, height and width open, as libfacedetection.train's dynamic files.
        named: False: outputs in another order and without the names.
        without: an output to leave out.
    """
    width, height = size
    graph = Graph()
    outputs: dict[str, tuple[str, tuple[int | str, ...]]] = {}
    views = [BlobView(graph, "input", stride, red=2, peak_value=255.0) for stride in STRIDES]
    for kind in OUTPUTS:
        for stride, view in zip(STRIDES, views, strict=True):
            value, channels = _output(view, kind)
            cells = (height // stride) * (width // stride)
            shape = ("batch", "dim", channels) if symbolic else (1, cells, channels)
            outputs[f"{kind}_{stride}"] = value, shape
    outputs.pop(without, None)
    if not named:
        outputs = {f"out{i}": outputs[name] for i, name in enumerate(sorted(outputs))}
    input_shape = ("batch", 3, "height", "width") if symbolic else (1, 3, height, width)
    return graph.save(folder / "yunet.onnx", input_shape, outputs, input_name="input")


def _output(view: BlobView, kind: str) -> tuple[str, int]:
    """One output of one stride, (1, cells, channels), and its channels."""
    graph = view.graph
    center = [graph.node("Add", place, 0.5) for place in (view.x, view.y)]
    if kind == "cls":
        # Over 1 where the face is certain: OpenCV clamps it, and so must we.
        channels = [graph.node("Mul", graph.node("Sigmoid", view.score), 1.005)]
    elif kind == "obj":
        channels = [graph.node("Sigmoid", view.score)]
    elif kind == "bbox":
        left, top, right, bottom = BOX_REACH
        middle = [((right - left) / 2, left + right), ((bottom - top) / 2, top + bottom)]
        side = graph.node("Max", view.side, 1e-3)
        channels = [
            graph.node("Add", place, graph.node("Mul", view.side, offset))
            for place, (offset, _) in zip(center, middle, strict=True)
        ] + [graph.node("Log", graph.node("Mul", side, extent)) for _, extent in middle]
    else:
        channels = [
            view.reach(place, distance)
            for point in KEYPOINTS
            for place, distance in zip(center, point, strict=True)
        ]
    rows_first = graph.node("Transpose", graph.concat(*channels), perm=[0, 2, 3, 1])
    return graph.reshape(rows_first, 1, -1, len(channels)), len(channels)
