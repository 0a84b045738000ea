"""The judge's proof: the true losses that it states are true."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.judge_proof import ACCURACY, GATE, chain, changed, grown


@pytest.mark.parametrize("churn", [0.0, 0.01, 0.04])
@pytest.mark.parametrize("loss", [0.0, 0.02, 0.05])
def test_the_stated_loss_is_the_true_one_however_small_the_exam(loss: float, churn: float) -> None:
    """Balanced by what an exam of 80 happened to show, a stated loss of 0% at 4% churn was 0.35%."""
    dice = np.random.default_rng(1)
    before = [dice.random(80) < ACCURACY for _ in range(4000)]
    after = [changed(rights, ACCURACY, loss, churn, dice) for rights in before]
    assert float(np.mean(before) - np.mean(after)) == pytest.approx(loss, abs=0.0015)  # four standard errors


def test_of_everything_no_more_is_won_back_than_was_wrong() -> None:
    """All of 800 facts but 4 are known: 2% cannot be won, so as little is lost."""
    dice, rights = np.random.default_rng(1), np.arange(800) >= 4
    known = [float(changed(rights, 0.995, 0.02, 0.04, dice).mean()) for _ in range(2000)]
    assert float(np.mean(known)) == pytest.approx(0.975, abs=0.0005)


def test_a_chain_grows_by_the_children_that_are_promoted() -> None:
    found = chain(6, 200, 0.01, np.random.default_rng(0))
    promoted = [child.outcome == "promoted" for child in found]
    assert [child.line for child in found] == [sum(promoted[:place]) for place in range(6)]
    assert sum(promoted) >= 5 and all(bool(child.stopped_by) != yes for child, yes in zip(found, promoted, strict=True))


def test_where_every_fact_is_asked_none_falls_under_the_limit_unseen() -> None:
    """Twelve children that lose two points each: 97% less 24 is far under nine in ten, and the line ends before."""
    found = grown(12, 0.02, 0.01, taught=200, asked=200, dice=np.random.default_rng(3))
    assert 2 <= found.promoted < 12
    assert found.lowest >= GATE.recall


def test_of_a_sample_more_is_asked_than_of_all() -> None:
    """Of 800 facts 80 are asked: nine in ten of these would leave it to luck."""
    runs = [grown(12, 0.02, 0.01, taught=800, asked=80, dice=np.random.default_rng(seed)) for seed in range(8)]
    assert min(run.examined for run in runs) >= 0.95
