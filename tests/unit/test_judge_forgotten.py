"""Whether an ancestor's exam was forgotten, what was clearly lost, and what was not learned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from germline.judge.gate import judge
from germline.marks import Check, Scorecard, Verdict
from germline.settings import Gate
from tests.unit.test_judge import NEW, STRICT, asked, card

LOOSE = Gate(margin=1.0)
"""No proof of retention: the alarm is asked alone."""
ANCESTORS = ("g1", "g2", "g3")


def forgotten(verdict: Verdict) -> list[Check]:
    return [check for check in verdict.checks if check.name == "forgotten"]


def line(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[Scorecard, Scorecard]:
    """What g1 and g2 had wrong of g1's exam at their births; of g2's nothing."""
    return card(asked(*first)), card(asked(*second), asked())


def test_one_lucky_ancestor_makes_no_child_forgetful() -> None:
    """g1 had 8 of its own questions wrong, g2 by luck none; g3 and its child are as g1 was."""
    eight = tuple(range(8))
    parent, child = card(asked(*eight), asked(), asked(), NEW), card(asked(*eight), asked(), asked(), asked())
    cards = [*line(eight, ()), card(asked(*eight), asked(), asked())]
    verdict = judge(parent, child, LOOSE, weight_change=0.01, ancestors=ANCESTORS, line=cards)
    assert verdict.outcome == "promoted" and forgotten(verdict) == []


def test_what_was_forgotten_little_by_little_is_held_against_who_wrote_the_exam() -> None:
    """Six were lost before: of the two more its parent's answers alone would tell nothing."""
    six, eight = tuple(range(6)), tuple(range(8))
    parent, child = card(asked(*six), asked(), NEW), card(asked(*eight), asked(), asked())
    verdict = judge(parent, child, LOOSE, weight_change=0.01, ancestors=ANCESTORS[:2], line=line((), six))
    assert verdict.outcome == "refused"
    assert verdict.reasons == ("forgot more of what g1 was taught than chance explains (p = 0.0078)",)


def test_what_was_revised_since_is_not_forgotten() -> None:
    """Of 120 questions 20 are asked no more; these the child does not know."""
    parent, child = card(asked(), NEW), card(asked(), asked())
    verdict = judge(parent, child, LOOSE, weight_change=0.01, ancestors=["g1"], line=[card(asked(units=120))])
    assert verdict.outcome == "promoted" and forgotten(verdict) == []


@pytest.mark.parametrize("writer", ["its parent", "its grandparent"])
@pytest.mark.parametrize("wrong", [2, 8])
def test_what_was_asked_against_nothing_then_is_no_measure_for_what_is_asked_against_it_now(
    writer: str, wrong: int
) -> None:
    """A delta puts facts otherwise of which the parent, asked against that, has some wrong, and its child as many: it
    lost nothing. What was right at birth was asked among easier wrong answers."""
    lost, against = tuple(range(wrong)), {f"unit {unit}": ("another",) for unit in range(wrong)}
    now = replace(asked(*lost), against=against)
    cards = [card(asked())] if writer == "its parent" else [card(asked()), card(asked(), asked())]
    own = [asked()] * (len(cards) - 1)
    parent, child = card(now, *own, NEW), card(now, *own, asked())
    verdict = judge(parent, child, Gate(), weight_change=0.01, ancestors=ANCESTORS[: len(cards)], line=cards)
    assert verdict.outcome == "promoted", verdict.reasons
    worse = card(replace(asked(*range(wrong + 8)), against=against), *own, asked())
    verdict = judge(parent, worse, Gate(), weight_change=0.01, ancestors=ANCESTORS[: len(cards)], line=cards)
    assert [check.passed for check in forgotten(verdict)] == [False], "what was asked the same is compared as ever"


def test_where_the_writers_answers_are_not_recorded_the_oldest_stand_for_them_and_it_is_said() -> None:
    """g1's birth recorded no units. Of g2's answers the child lost 8, of its parent's none."""
    eight = tuple(range(8))
    first, second = line((), ())
    unrecorded = card(replace(first.marks[next(iter(first.marks))], units={}))
    parent, child = card(asked(*eight), asked(), NEW), card(asked(*eight), asked(), asked())
    verdict = judge(parent, child, LOOSE, weight_change=0.01, ancestors=ANCESTORS[:2], line=[unrecorded, second])
    assert verdict.outcome == "refused"
    note = "g1's own answers are not at hand, so the oldest that are stand for them"
    assert verdict.reasons == (f"forgot more of what g1 was taught than chance explains (p = 0.0078); {note}",)
    kept = judge(card(asked(), asked(), NEW), card(asked(), asked(), asked()), LOOSE, weight_change=0.01,
                 ancestors=ANCESTORS[:2], line=[unrecorded, second])  # fmt: skip
    (told,) = forgotten(kept)
    assert kept.outcome == "promoted" and told.passed and note in told.reason


def test_without_any_ancestors_card_the_parents_answers_stand_for_them() -> None:
    """Never compared with nothing: g1 and g2 have left no card."""
    parent = card(asked(), asked(), NEW)
    child = card(asked(*range(8)), asked(), asked())
    verdict = judge(parent, child, LOOSE, weight_change=0.01, ancestors=ANCESTORS[:2])
    assert [check.passed for check in forgotten(verdict)] == [False, True]
    silenced = LOOSE.model_copy(update={"alarm": 0.0})
    assert forgotten(judge(parent, child, silenced, weight_change=0.01)) == []


# --- what is surely worse is refused, and not called too small to tell ---------------------------------


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def test_a_clear_loss_is_refused_however_small_the_exam() -> None:
    """12 of 30 lost. To pass a child that lost nothing takes more than 30 questions, to refuse this one does not."""
    gate = Gate(recall=0.5, margin=0.05, alarm=0.0)
    parent, child = card(asked(units=30), NEW), card(asked(*range(12), units=30), asked())
    verdict = judge(parent, child, gate, weight_change=0.01, line=[card(asked(units=30))])
    assert verdict.outcome == "refused" and failed(verdict) == ["retention", "parent"]


def test_answers_that_cost_more_on_the_whole_were_not_learned() -> None:
    """Each unit is likelier than before, but not the answers together, of which the units are not all."""
    child = asked()
    dearer = replace(child, recall=replace(child.recall, bits_per_byte=3.1))
    verdict = judge(card(NEW), card(dearer), STRICT, weight_change=0.01)
    assert verdict.outcome == "refused" and failed(verdict) == ["learned"]


def test_few_answers_of_which_as_many_got_worse_as_better_were_not_learned() -> None:
    """Four are too few to show that something was learned; that nothing was they may."""
    before = asked(units=4, known=False, bits=3.0)
    for worse, outcome in ((0, "inconclusive"), (1, "inconclusive"), (2, "refused"), (4, "refused")):
        units = {f"unit {unit}": (1.0, 3.5 if unit < worse else 0.1) for unit in range(4)}
        verdict = judge(card(before), card(replace(asked(units=4), units=units)), STRICT, weight_change=0.01)
        assert (verdict.outcome, failed(verdict)) == (outcome, ["learned"])
