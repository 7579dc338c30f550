"""Who goes with whom, so that all together cost the least."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: In place of a row: the column has none yet.
FREE = -1


def least_cost_pairs(costs: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Return as many (row, column) pairs as there can be, each row and column once, in row order.

    The Hungarian method with shortest augmenting paths (Jonker, Volgenant: «A Shortest Augmenting
    Path Algorithm for Dense and Sparse Linear Assignment Problems», Computing 38, 1987), as
    scipy.optimize.linear_sum_assignment has it. That one is faster from some ten faces on, but
    loading it takes 47 MB and a quarter of a second.

    Args:
        costs: finite numbers, a row after the other, all of the same length.
    """
    if not costs or not costs[0]:
        return []
    if len(costs) > len(costs[0]):
        columns = list(zip(*costs, strict=True))
        return sorted((row, column) for column, row in least_cost_pairs(columns))
    width = len(costs[0])
    row_of = [FREE] * width
    row_prices, column_prices = [0.0] * len(costs), [0.0] * width
    for row in range(len(costs)):
        _add_row(row, costs, row_of, row_prices, column_prices)
    return sorted((row, column) for column, row in enumerate(row_of) if row != FREE)


def _add_row(
    new_row: int,
    costs: Sequence[Sequence[float]],
    row_of: list[int],
    row_prices: list[float],
    column_prices: list[float],
) -> None:
    """Give one more row a column, and move those who are in its way, at the least cost.

    The prices keep cost - row price - column price at zero for the pairs in `row_of` and at zero or
    more for all others, which is what makes the pairs the cheapest.
    """
    width = len(row_of)
    distances, came_from = [math.inf] * width, [new_row] * width
    reached: list[int] = []
    open_columns = set(range(width))
    row, length = new_row, 0.0
    while True:
        for column in open_columns:
            distance = length + costs[row][column] - row_prices[row] - column_prices[column]
            if distance < distances[column]:
                distances[column], came_from[column] = distance, row
        nearest = min(open_columns, key=distances.__getitem__)
        length = distances[nearest]
        row = row_of[nearest]
        if row == FREE:
            break
        open_columns.remove(nearest)
        reached.append(nearest)

    row_prices[new_row] += length
    for column in reached:
        spared = length - distances[column]
        row_prices[row_of[column]] += spared
        column_prices[column] -= spared
    column_of = {row: column for column, row in enumerate(row_of)}
    column = nearest
    while True:
        row = came_from[column]
        row_of[column] = row
        if row == new_row:
            return
        column = column_of[row]
