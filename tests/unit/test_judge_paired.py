"""The arithmetic of the judge: known values, and error rates that hold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.judge.paired import difference, holm, sign_test

HALVES = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), max_size=200)


def test_the_interval_is_bonett_and_prices_and_one_unit_wider() -> None:
    """By hand: 6 lost, 2 won, of 50, and one of each besides."""
    pairs = [-1.0] * 6 + [1.0] * 2 + [0.0] * 42
    lost, won = 7 / 52, 3 / 52
    error = math.sqrt((lost + won - (won - lost) ** 2) / 52)
    found = difference(pairs)
    assert found.lower == pytest.approx(won - lost - 1.6448536 * error - 1 / 52)
    assert found.upper == pytest.approx(won - lost + 1.6448536 * error + 1 / 52)
    assert (found.units, found.mean, found.moved) == (50, -0.08, 0.16)


def test_nothing_that_changed_among_few_proves_little() -> None:
    assert difference([0.0] * 64).lower < -0.05 < difference([0.0] * 65).lower
    assert difference([]).lower < -0.5


@given(HALVES)
def test_the_bounds_hold_the_mean_and_stay_within_reach(pairs: list[float]) -> None:
    found = difference(pairs)
    assert -1.7 < found.lower < found.upper < 1.7
    assert found.lower - 0.1 <= found.mean <= found.upper + 0.5 or len(pairs) < 20


@given(HALVES, st.sampled_from([0.02, 0.05, 0.1]))
def test_as_many_units_as_are_needed_would_do(pairs: list[float], margin: float) -> None:
    """An exam of that size on which as much moved, both ways alike, has its error small enough; one smaller has not."""
    needed = difference(pairs).units_needed(margin)
    moved = difference(pairs).moved

    def reach(units: int) -> float:
        size = units + 2
        return (1.6448536 + 1.9599640) * math.sqrt((moved * units + 2) / size / size) + 1 / size

    assert reach(needed) <= margin + 1e-9
    assert needed < 4 or reach(needed - 1) > margin - 1e-3


def test_what_is_no_number_spoils_every_bound() -> None:
    found = difference([0.0, math.nan, 0.0])
    assert math.isnan(found.lower) and math.isnan(found.upper) and math.isnan(found.mean)


def test_the_sign_test_is_exact() -> None:
    assert sign_test(5, 0) == 1 / 32
    assert sign_test(8, 2) == pytest.approx(56 / 1024)
    assert sign_test(0, 0) == sign_test(0, 7) == 1.0
    assert 0.0 <= sign_test(3000, 0) < 1e-300


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_the_interval_of_a_rarer_error_is_wider() -> None:
    pairs = [-1.0] * 6 + [1.0] * 2 + [0.0] * 42
    surer, usual = difference(pairs, 0.995), difference(pairs)
    lost, won = 7 / 52, 3 / 52
    error = math.sqrt((lost + won - (won - lost) ** 2) / 52)
    assert surer.lower == pytest.approx(won - lost - 2.5758293 * error - 1 / 52)
    assert surer.units_needed(0.05) > usual.units_needed(0.05)
