"""The assignment of faces to known faces has the lowest total cost, as SciPy finds it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from maix_facemesh_ros.analysis import assignment
from maix_facemesh_ros.analysis.assignment import least_cost_pairs


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 3), (4, 6), (9, 5), (40, 60)])
@pytest.mark.parametrize("most_ways", [0, assignment.MOST_WAYS])
def test_total_cost_is_the_lowest(
    shape: tuple[int, int], most_ways: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignment, "MOST_WAYS", most_ways)
    random = np.random.default_rng(0)
    for _ in range(20):
        costs = random.normal(size=shape)
        # What is out of reach has one high cost.
        costs[random.random(shape) < 0.3] = 1e6
        pairs = [*least_cost_pairs(costs.tolist())]
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == min(shape)
        found = sum(costs[pair] for pair in pairs)
        assert found == pytest.approx(costs[linear_sum_assignment(costs)].sum(), rel=1e-9)
