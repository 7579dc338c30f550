"""Sparse weights of a TFLite file, written out in full.

Most weights of the full-range face detector are zero, and only the others are stored (TFLite's
schema.fbs, ``SparsityParameters``; the format is TACO's, http://tensor-compiler.org). ONNX runtimes
have no sparse convolution, so the zeros come back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray


def densify(stored_values: NDArray[Any], shape: tuple[int, ...], sparsity: Any) -> NDArray[Any]:
    """Return the dense array of ``shape``.

    Only the layout these models use is read: axes in their natural order, no blocks, all axes dense
    but the last one, which is compressed row by row (CSR). A convolution's weights are
    [output, height, width, input], so each row holds the inputs of one output at one kernel cell.
    """
    axes = sparsity.dimMetadata
    formats = [axis.format for axis in axes]
    expected_formats = [schema.DimensionType.DENSE] * (len(shape) - 1)
    expected_formats.append(schema.DimensionType.SPARSE_CSR)
    if (
        formats != expected_formats
        or list(sparsity.traversalOrder) != list(range(len(shape)))
        or sparsity.blockMap is not None
    ):
        raise NotImplementedError("sparse weights in another layout than rows (CSR)")

    row_starts = np.asarray(axes[-1].arraySegments.values).astype(np.int64)
    columns = np.asarray(axes[-1].arrayIndices.values).astype(np.int64)
    rows = np.repeat(np.arange(len(row_starts) - 1), np.diff(row_starts))
    dense = np.zeros((len(row_starts) - 1, shape[-1]), stored_values.dtype)
    dense[rows, columns] = stored_values
    return dense.reshape(shape)
