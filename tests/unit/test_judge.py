"""The gate: every limit refuses just past it, and what is not a number never passes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from germline.judge.gate import judge
from germline.marks import Marks, Score, Scorecard, StyleMarks, scorecard_from
from germline.records import canonical_json, plain
from germline.settings import Gate

NOTHING = Score(items=0, right=0, bits_per_byte=0.0)


def marks(
    right: int = 100,
    wording: int = 100,
    heldout: int = 10,
    drifts: int = 0,
    bits: float = 0.1,
    held: bool = True,
) -> Marks:
    return Marks(
        recall=Score(items=100, right=right, bits_per_byte=bits),
        wording=Score(items=100, right=wording, bits_per_byte=bits),
        heldout=Score(items=10, right=heldout, bits_per_byte=bits),
        spoken=NOTHING,
        passages_bits_per_byte=None,
        style=StyleMarks(probes=10, drifts=drifts, bits_per_character=2.0, own_bits_per_character=2.0),
        laws={"light/1": held},
        cards={"tower": True, "bell": False},
        answers=(),
    )


def adrift(bits: float) -> Marks:
    """The voice as a whole, of which no single answer drifts."""
    found = StyleMarks(
        probes=10, drifts=0, bits_per_character=bits, own_bits_per_character=2.0, limit_bits_per_character=2.3
    )
    return replace(marks(), style=found)


def card(*papers: Marks) -> Scorecard:
    return Scorecard(weights="w", marks={f"sha256:{number:064x}": paper for number, paper in enumerate(papers)})


PARENT = card(marks(right=20, bits=3.0))


def monotonous(variety: float) -> Marks:
    return replace(marks(), style=replace(adrift(2.0).style, variety=variety, least_variety=0.5))


@pytest.mark.parametrize(
    ("variety", "gate", "outcome"),
    [
        (0.5, Gate(), "promoted"),
        (0.49, Gate(), "refused"),
        (0.49, Gate(style_distance=0.9), "refused"),
        (0.49, Gate(style_distance=1.1), "promoted"),
        (math.nan, Gate(style_distance=100), "refused"),
    ],
)
def test_who_says_one_thing_only_has_lost_its_voice(variety: float, gate: Gate, outcome: str) -> None:
    verdict = judge(card(replace(monotonous(0.9), recall=PARENT.newest.recall)), card(monotonous(variety)), gate,
                    weight_change=0.01)  # fmt: skip
    assert verdict.outcome == outcome
    if outcome == "refused" and not math.isnan(variety):
        assert verdict.reasons == ("49% of ten answers differ from each other, of the persona's own 50% or more",)


def test_cards_of_which_one_has_no_variety_are_not_compared() -> None:
    without = replace(marks(), style=adrift(2.0).style)
    for before, after in ((without, monotonous(0.9)), (monotonous(0.9), without)):
        verdict = judge(card(before), card(after), Gate(), weight_change=0.01)
        assert verdict.outcome == "refused" and verdict.checks[0].name == "scorecards"


def test_a_child_that_meets_every_limit_is_promoted() -> None:
    verdict = judge(PARENT, card(marks(right=90, wording=85, heldout=1, drifts=2)), Gate(), weight_change=0.01)
    assert verdict.outcome == "promoted"
    assert all(check.passed for check in verdict.checks)


@pytest.mark.parametrize(
    ("child", "gate", "change", "name"),
    [
        (marks(right=89), Gate(), 0.01, "recall"),
        (marks(wording=84), Gate(), 0.01, "generalization"),
        (marks(drifts=3), Gate(), 0.01, "style drift"),
        (adrift(2.31), Gate(), 0.01, "style"),
        (adrift(math.nan), Gate(), 0.01, "scorecards"),
        (marks(held=False), Gate(), 0.01, "laws broken"),
        (marks(), Gate(cards=0.6), 0.01, "challenge cards"),
        (marks(), Gate(), 0.0, "weight change"),
        (marks(), Gate(), math.nan, "weight change"),
        (marks(bits=3.0), Gate(), 0.01, "learned"),
        (marks(bits=math.nan), Gate(), 0.01, "scorecards"),
    ],
)
def test_each_limit_refuses_alone(child: Marks, gate: Gate, change: float, name: str) -> None:
    assert child.style is not None
    before = replace(marks(right=20, bits=3.0), style=replace(child.style, bits_per_character=2.0))
    verdict = judge(card(before), card(child), gate, weight_change=change)
    assert verdict.outcome == "refused"
    assert [check.name for check in verdict.checks if not check.passed] == [name]
    assert len(verdict.reasons) == 1


@pytest.mark.parametrize(("probes", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (10, 2), (25, 5), (40, 8)])
def test_of_more_than_ten_probes_two_in_ten_may_drift(probes: int, most: int) -> None:
    def spoken(drifts: int, right: int = 100, bits: float = 0.1) -> Scorecard:
        style = StyleMarks(probes=probes, drifts=drifts, bits_per_character=2.0, own_bits_per_character=2.0)
        return card(replace(marks(right=right, bits=bits), style=style))

    parent = spoken(0, right=20, bits=3.0)
    assert judge(parent, spoken(most), Gate(), weight_change=0.01).outcome == "promoted"
    verdict = judge(parent, spoken(most + 1), Gate(), weight_change=0.01)
    assert [check.name for check in verdict.checks if not check.passed] == ["style drift"]


def test_broken_laws_are_told_alike_before_and_after_they_were_stored() -> None:
    broken = card(replace(marks(), laws={"oil/1": False, "light/1": False}))
    again = scorecard_from(json.loads(canonical_json(broken)))
    assert list(again.newest.laws) != list(broken.newest.laws)  # type: ignore[union-attr]
    first, second = (judge(PARENT_OF_LAWS, child, Gate(), weight_change=0.01) for child in (broken, again))
    assert first == second and "breaks light/1, oil/1" in first.reasons


PARENT_OF_LAWS = card(replace(marks(right=20, bits=3.0), laws={"oil/1": True, "light/1": True}))


def test_one_forgotten_ancestor_is_not_averaged_away() -> None:
    parent = card(marks(), marks(), marks(right=20, bits=3.0))
    child = card(marks(), marks(right=80), marks())
    verdict = judge(parent, child, Gate(), weight_change=0.01, ancestors=("g1", "g2"))
    assert verdict.outcome == "refused"
    assert verdict.reasons == ("recalls 80 of 100 of what g2 was taught",)


@pytest.mark.parametrize(
    ("share", "right", "confidence", "outcome"),
    [
        (1.0, 900, 0.995, "promoted"),  # every fact was asked: what it shows is what is known
        (1.0, 899, 0.95, "refused"),
        (0.25, 913, 0.95, "refused"),  # 1.645 standard errors of 0.82 points: 91.35%
        (0.25, 914, 0.95, "promoted"),
        (0.25, 921, 0.995, "refused"),  # 2.576 of them
        (0.25, 922, 0.995, "promoted"),
        (1e-9, 916, 0.95, "promoted"),  # of ever so many facts: 0.95 points
        (1e-9, 915, 0.95, "refused"),
        (math.nan, 1000, 0.95, "refused"),
    ],
)
def test_an_exam_that_is_a_sample_must_show_more(share: float, right: int, confidence: float, outcome: str) -> None:
    def sat(right: int) -> Marks:
        return replace(marks(), recall=Score(items=1000, right=right, bits_per_byte=0.1), share=share)

    verdict = judge(
        card(sat(1000), PARENT.newest), card(sat(right), marks()), Gate(margin=1, alarm=0), weight_change=0.01,
        ancestors=["g1"], confidence=confidence,
    )  # fmt: skip
    assert verdict.outcome == outcome
    if outcome == "refused" and 0.1 < share < 1:
        limit = "91.4%" if confidence < 0.99 else "92.1%"
        assert verdict.reasons == (
            f"recalls {right} of 1000 of what g1 was taught; as these are a sample, it takes {limit} of them to be "
            "sure of 90% of all",
        )


def silent(passages: float | None, recall: Score = NOTHING) -> Marks:
    return Marks(
        recall=recall, wording=NOTHING, heldout=NOTHING, spoken=NOTHING, passages_bits_per_byte=passages,
        style=None, laws={}, cards={}, answers=(),
    )  # fmt: skip


def test_a_delta_that_cannot_be_asked_about_is_inconclusive() -> None:
    nothing = card(silent(None))
    assert judge(nothing, nothing, Gate(), weight_change=0.01).outcome == "inconclusive"
    known = Score(items=5, right=5, bits_per_byte=0.1)
    verdict = judge(card(silent(None, known)), card(silent(None, known)), Gate(), weight_change=0.01)
    assert verdict.outcome == "inconclusive"
    assert "held out" in verdict.reasons[0]


def test_plain_prose_is_judged_by_its_held_out_passages() -> None:
    for before, after, outcome in ((1.9, 1.5, "promoted"), (1.5, 1.5, "refused"), (1.5, math.nan, "refused")):
        verdict = judge(card(silent(before)), card(silent(after)), Gate(), weight_change=0.01)
        assert verdict.outcome == outcome


def read(*taught: float, heldout: float = 1.0) -> Marks:
    return replace(silent(heldout), taught=taught)


TWO = read(2, 2, 2, 2, 2, heldout=2.0)


@pytest.mark.parametrize(
    ("after", "heldout", "outcome"),
    [
        ((1.8, 1.8, 1.8, 1.8, 1.8), 1.9, "promoted"),
        ((1.8, 1.8, 1.8, 1.8, 1.8), 2.0, "refused"),  # learned by heart
        ((1.999, 1.999, 2.001, 1.999, 2.0), 1.9, "refused"),  # three of four: a chance of 5 in 16
        ((1.2, 2.1, 2.1, 2.1, 2.1), 1.9, "refused"),
        ((1.9, 1.9, 1.9, 1.9, 3.0), 1.9, "refused"),
        ((1.9, 1.9, 1.9, math.nan, 1.9), 1.9, "refused"),
    ],
)
def test_of_prose_more_passages_must_be_likelier_than_chance_would_have_it(
    after: tuple[float, ...], heldout: float, outcome: str
) -> None:
    verdict = judge(card(TWO), card(read(*after, heldout=heldout)), Gate(), weight_change=0.01)
    assert verdict.outcome == outcome


def test_four_passages_are_too_few_to_tell() -> None:
    before = read(2, 2, 2, 2, heldout=2.0)
    verdict = judge(card(before), card(read(1.5, 1.5, 1.5, 1.5)), Gate(), weight_change=0.01)
    assert verdict.outcome == "inconclusive"
    assert "fewer than 5 cannot tell" in verdict.reasons[0]
    assert judge(card(read(2, 2)), card(read(2.1, 1.5)), Gate(), weight_change=0.01).outcome == "refused"


def test_an_ancestors_prose_may_not_be_forgotten_little_by_little() -> None:
    """Held against the card of its writer's birth: what the parent lost before counts, too."""
    learned, lost = read(*5 * [1.0], heldout=1.0), read(*5 * [1.0], heldout=1.06)
    births = [card(learned), card(lost, learned)]
    for cost, outcome in ((1.09, "promoted"), (1.11, "refused")):
        child = card(replace(lost, passages_bits_per_byte=cost), learned, read(*5 * [1.5], heldout=1.5))
        verdict = judge(
            card(lost, learned, TWO), child, Gate(), weight_change=0.01, ancestors=("g1", "g2"), line=births
        )
        assert verdict.outcome == outcome
    assert verdict.reasons == ("g1's held-out text: 1.11 bits per byte, 1.00 when it was learned",)


def test_where_all_conversations_were_taught_held_out_passages_decide() -> None:
    taught, untaught = (Score(items=10, right=right, bits_per_byte=bits) for right, bits in ((10, 0.1), (2, 3.0)))
    for old, new, outcome in ((1.9, 1.5, "promoted"), (1.5, 1.6, "refused")):
        verdict = judge(card(silent(old, untaught)), card(silent(new, taught)), Gate(), weight_change=0.01)
        assert verdict.outcome == outcome
    assert [check.name for check in verdict.checks if not check.passed] == ["generalization"]


def test_conversations_without_facts_are_judged_by_those_held_out() -> None:
    for old, new, outcome in ((1.9, 1.5, "promoted"), (1.5, 1.5, "refused"), (1.5, math.nan, "refused")):
        talks = Score(items=20, right=4, bits_per_byte=new)
        before = replace(
            silent(None, Score(items=10, right=2, bits_per_byte=3.0)), heldout=replace(talks, bits_per_byte=old)
        )
        after = replace(silent(None, Score(items=10, right=10, bits_per_byte=0.1)), heldout=talks)
        verdict = judge(card(before), card(after), Gate(), weight_change=0.01)
        assert verdict.outcome == outcome
        if outcome == "refused":
            failed = "scorecards" if math.isnan(new) else "generalization"
            assert [check.name for check in verdict.checks if not check.passed] == [failed]


def test_cards_over_different_exams_are_never_compared() -> None:
    with pytest.raises(AssertionError, match="different exams"):
        judge(PARENT, card(marks(), marks()), Gate(), weight_change=0.01)


def spoiled(paper: Marks, path: str, value: object) -> Marks:
    """`paper` as a table where one mark is `value`, or gone, read back as the ledger's scorecards are."""
    table = plain(Scorecard(weights="w", marks={"e": paper}))
    *way, last = path.split(".")
    place = table["marks"]["e"]
    for key in way:
        place = place[key]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return scorecard_from(table).marks["e"]


MISSING = object()
MARKS = [
    *(f"{paper}.{mark}" for paper in ("recall", "wording", "heldout") for mark in ("items", "right")),
    "recall.bits_per_byte", "style.drifts", "style.probes", "style", "laws.light/1", "cards.tower", "laws", "cards",
    "passages_bits_per_byte", "taught",
]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, pytest.param(MISSING, id="missing"), "1", "", None, [], {}, True],
    ids=str,
)
@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_that_is_no_mark_never_passes(mark: str, value: object) -> None:
    """Not in the child's card, and not by spoiling the parent's that it is compared with."""
    whole, gate = marks(), Gate(cards=0.1)
    assert judge(card(marks(right=20, bits=3.0)), card(whole), gate, weight_change=0.01).outcome == "promoted"
    for parent, child in ((marks(right=20, bits=3.0), whole), (whole, marks(bits=0.01))):
        spoil_child = parent is not whole
        try:
            old, new = (parent, spoiled(child, mark, value)) if spoil_child else (spoiled(parent, mark, value), child)
        except (KeyError, TypeError, AttributeError):
            continue  # it is not even read as a card
        if old == parent and new == child:
            continue  # `True` in the place of a true
        if not spoil_child and type(value) is float and mark.endswith(("right", "drifts")):
            continue  # a parent's own score decides nothing
        verdict = judge(card(old), card(new), gate, weight_change=0.01)
        assert verdict.outcome == "refused", (mark, value, verdict)


@pytest.mark.parametrize("change", [math.nan, math.inf, -math.inf])
def test_a_weight_change_that_is_no_number_never_passes(change: float) -> None:
    assert judge(PARENT, card(marks()), Gate(), weight_change=change).outcome == "refused"


def test_a_paper_that_only_the_parent_sat_is_not_skipped() -> None:
    """Without questions there is no check: a child that was asked nothing would fail none."""
    for without in (replace(marks(), recall=NOTHING), replace(marks(), style=None), replace(marks(), laws={})):
        verdict = judge(PARENT, card(without), Gate(), weight_change=0.01)
        assert (verdict.outcome, [check.name for check in verdict.checks]) == ("refused", ["scorecards"])


@pytest.mark.parametrize("strange", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("units > unit 7 > bits", lambda old, bad: replace(old, units={**old.units, "unit 7": (1.0, bad)})),
        ("recall > bits_per_byte", lambda old, bad: replace(old, recall=replace(old.recall, bits_per_byte=bad))),
        ("said > unit 7", lambda old, bad: replace(old, said={"unit 7": bad})),
        ("style > bits_per_character", lambda old, bad: replace(old, style=replace(old.style, bits_per_character=bad))),
    ],
)
def test_no_number_missing_from_an_inherited_exam_is_handed_down(
    strange: float, name: str, spoil: Callable[[Marks, float], Marks]
) -> None:
    """None of these marks decides anything today; promoted, a descendant would be compared with them."""
    parent, gate = card(asked(), NEW), Gate()
    assert judge(parent, card(asked(), asked()), gate, weight_change=0.01).outcome == "promoted"
    spoilt = card(spoil(asked(), strange), asked())
    verdict = judge(parent, spoilt, gate, weight_change=0.01, ancestors=["g1"])
    assert verdict.outcome == "refused"
    assert verdict.reasons == (f"not a number among the child's marks: g1: {name}",)


# --- against the parent and the best ancestor ---------------------------------------------------------


def asked(*lost: int, units: int = 100, bits: float = 0.1, known: bool = True) -> Marks:
    """An exam of one question a unit, of which those in `lost` are wrong, or all if nothing is known."""
    rights = [known and unit not in lost for unit in range(units)]
    score = Score(items=units, right=sum(rights), bits_per_byte=bits)
    return replace(
        marks(bits=bits), recall=score, wording=score, heldout=NOTHING,
        units={f"unit {unit}": (float(right), bits) for unit, right in enumerate(rights)},
    )  # fmt: skip


STRICT = Gate(margin=0.05)
NEW = asked(known=False, bits=3.0)
"""What is new, before it was taught."""


def test_a_child_that_lost_nothing_passes_and_says_how_sure_that_is() -> None:
    verdict = judge(card(asked(), NEW), card(asked(), asked()), STRICT, weight_change=0.01, line=[card(asked())])
    assert verdict.outcome == "promoted"
    (retention,) = [check for check in verdict.checks if check.name == "retention"]
    assert "it lost less than 3.3%" in retention.reason


def test_losses_that_are_small_each_time_are_held_against_the_best_ancestor() -> None:
    """Against its parent it lost 3 of 100, against its grandparent 6: more than the margin."""
    best, parent, child = asked(), asked(1, 2, 3), asked(1, 2, 3, 4, 5, 6)
    gate = Gate(margin=0.08)
    verdict = judge(card(parent, NEW), card(child, asked()), gate, weight_change=0.01, line=[card(best)])
    failed = {check.name: check for check in verdict.checks if not check.passed}
    assert "retention" in failed and "parent" not in failed
    assert judge(card(parent, NEW), card(child, asked()), gate, weight_change=0.01).outcome == "promoted"


def test_the_best_ancestor_counts_by_what_is_asked_today() -> None:
    """Of an exam of 120 units 20 were revised since; the grandparent had all right, and the child lost 6 of the 100."""
    child = card(asked(1, 2, 3, 4, 5, 6), asked())
    parent, grandparent = card(asked(1, 2, 3), NEW), card(asked(units=120))
    verdict = judge(parent, child, Gate(margin=0.08), weight_change=0.01, line=[grandparent])
    failed = {check.name for check in verdict.checks if not check.passed}
    assert "retention" in failed and "parent" not in failed
    assert judge(parent, child, Gate(margin=0.08), weight_change=0.01).outcome == "promoted"


def test_one_exam_that_was_forgotten_is_found_among_many_that_were_not() -> None:
    """8 of 80 lost: 0.90 is reached, and the margin holds over all 400, but chance would not do it."""
    old = [asked(units=80) for _ in range(5)]
    child = [*old[:4], asked(*range(8), units=80), asked()]
    verdict = judge(card(*old, NEW), card(*child), STRICT, weight_change=0.01, ancestors=("g1", "g2", "g3", "g4", "g5"))
    assert verdict.outcome == "refused"
    assert [check.name for check in verdict.checks if not check.passed] == ["forgotten"]
    silenced = STRICT.model_copy(update={"alarm": 0.0})
    assert judge(card(*old, NEW), card(*child), silenced, weight_change=0.01).outcome == "promoted"


def test_too_few_questions_are_inconclusive_and_say_how_many_it_takes() -> None:
    old, child = asked(units=20), asked(3, units=20)
    verdict = judge(card(old, NEW), card(child, asked()), Gate(recall=0.5, margin=0.05), weight_change=0.01)
    assert verdict.outcome == "inconclusive"
    assert "this exam is too small to tell from 5%: that takes about 3" in verdict.reasons[0]
    assert [check.undecided for check in verdict.checks if check.name == "retention"] == [True]


def test_what_fails_outweighs_what_cannot_be_told() -> None:
    child = card(asked(3, units=20), replace(asked(), laws={"light/1": False}))
    verdict = judge(card(asked(units=20), NEW), child, Gate(recall=0.5, margin=0.05), weight_change=0.01)
    assert verdict.outcome == "refused" and verdict.reasons == ("breaks light/1",)


@pytest.mark.parametrize(("units", "outcome"), [(4, "inconclusive"), (5, "promoted")])
def test_that_something_was_learned_takes_five_answers(units: int, outcome: str) -> None:
    before, after = asked(units=units, bits=3.0, known=False), asked(units=units)
    assert judge(card(before), card(after), STRICT, weight_change=0.01).outcome == outcome


def test_what_was_learned_does_not_depend_on_the_order_of_units() -> None:
    """Each of five got a little likelier; side by side in another order two would seem worse."""
    costs = dict(zip("abcde", (3.0, 2.0, 1.5, 1.0, 0.5), strict=True))
    before = replace(asked(units=5, known=False, bits=3.0), units={unit: (0.0, bits) for unit, bits in costs.items()})
    after = replace(asked(units=5), units={unit: (1.0, bits - 0.1) for unit, bits in costs.items()})
    turned = replace(after, units=dict(reversed(after.units.items())))
    there, back = (judge(card(before), card(marks), STRICT, weight_change=0.01) for marks in (after, turned))
    assert "5 of 5 are likelier than before, 0 less likely" in str(there.checks)
    assert back == there


def test_a_card_of_before_it_was_recorded_what_is_said_compares_as_ever() -> None:
    told = replace(asked(), said={f"unit {unit}": 1.0 for unit in range(100)})
    new = replace(NEW, said={f"unit {unit}": 0.0 for unit in range(100)})
    old_parent, parent, child = card(asked(), NEW), card(told, new), card(told, told)
    pairs = ((old_parent, card(asked(), asked())), (old_parent, child), (parent, child))
    one, *others = [judge(*pair, STRICT, weight_change=0.01, line=[card(asked())]) for pair in pairs]
    kept = [replace(one, checks=tuple(check for check in one.checks if check.name != "said")) for one in others]
    assert one.outcome == "promoted" and kept == [one, one]
    assert "said" in {check.name for check in others[1].checks}, "where both recorded it, it is asked"


def test_an_identical_copy_is_refused_whatever_it_knows() -> None:
    same = card(asked(), asked())
    for change in (0.0, 0.01):  # were it not found by its weights, its answers tell
        verdict = judge(same, same, STRICT, weight_change=change, line=[same])
        assert verdict.outcome == "refused"
        assert "learned" in {check.name for check in verdict.checks if not check.passed}


def test_a_card_whose_units_are_other_ones_is_never_compared() -> None:
    verdict = judge(card(asked(), NEW), card(asked(units=99), asked()), STRICT, weight_change=0.01)
    assert verdict.outcome == "refused" and verdict.checks[0].name == "scorecards"


def test_the_units_of_a_card_survive_the_ledger() -> None:
    before = card(asked(2))
    assert scorecard_from(plain(before)) == before
