"""The assignment problem: pairs of rows and columns with the lowest total cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import permutations

import numpy as np

#: Maximum number of permutations to try one by one: that of five rows and columns.
MOST_WAYS = 120


def least_cost_pairs(costs: Sequence[Sequence[float]]) -> Iterable[tuple[int, int]]:
    """Return the pairs of row and column with the lowest total cost.

    Each row has a pair, or each column where there are fewer.

    Args:
        costs: of each row with each column, finite; at least one of each.
    """
    rows, columns = len(costs), len(costs[0])
    if rows > columns:
        return [(row, column) for column, row in least_cost_pairs([*zip(*costs, strict=True)])]
    if math.perm(columns, rows) > MOST_WAYS:
        return _by_shortest_paths(costs)

    def cost(way: tuple[int, ...]) -> float:
        return sum(row[column] for row, column in zip(costs, way, strict=True))

    best = min(permutations(range(columns), rows), key=cost)
    return enumerate(best)


def _by_shortest_paths(costs: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Assign one row after the other along the shortest augmenting path.

    R. Jonker, A. Volgenant: A shortest augmenting path algorithm for dense and sparse linear
    assignment problems. Computing 38 (1987), 325-340. Column 0 and row 0 below stand for "none".
    """
    table = np.pad(np.asarray(costs, np.float64), ((1, 0), (1, 0)))
    rows, columns = table.shape
    of_row, of_column = np.zeros(rows), np.zeros(columns)
    row_of = np.zeros(columns, np.int64)
    for row in range(1, rows):
        row_of[0], column = row, 0
        shortest, before = np.full(columns, np.inf), np.zeros(columns, np.int64)
        is_free = np.ones(columns, np.bool_)
        while row_of[column] or column == 0:
            is_free[column] = False
            reached = row_of[column]
            lengths = table[reached] - of_row[reached] - of_column
            better = is_free & (lengths < shortest)
            shortest[better], before[better] = lengths[better], column
            nearest = int(np.argmin(np.where(is_free, shortest, np.inf)))
            step = shortest[nearest]
            of_row[row_of[~is_free]] += step
            of_column[~is_free] -= step
            shortest[is_free] -= step
            column = nearest
        while column:
            row_of[column] = row_of[before[column]]
            column = int(before[column])
    return [(int(row) - 1, column - 1) for column, row in enumerate(row_of) if column and row]
