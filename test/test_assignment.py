"""The pairs of least cost, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from maix_facemesh_ros.assignment import least_cost_pairs


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9, 20])
@pytest.mark.parametrize("columns", [1, 2, 3, 5, 9, 20])
@pytest.mark.parametrize("out_of_reach", [0.0, 0.6, 1.0])
def test_pairs_cost_as_little_as_scipys(rows: int, columns: int, out_of_reach: float) -> None:
    random = np.random.default_rng(rows * 100 + columns)
    for _ in range(20):
        costs = random.normal(size=(rows, columns)) * 5
        costs[random.random((rows, columns)) < out_of_reach] = 1e6
        pairs = least_cost_pairs(costs.tolist())
        assert len(pairs) == min(rows, columns)
        assert [row for row, _ in pairs] == sorted({row for row, _ in pairs})
        assert len({column for _, column in pairs}) == len(pairs)
        least = costs[linear_sum_assignment(costs)].sum()
        assert sum(costs[pair] for pair in pairs) == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("costs", [[], [[]], [[], []]])
def test_nobody_goes_with_nobody(costs: list[list[float]]) -> None:
    assert least_cost_pairs(costs) == []
