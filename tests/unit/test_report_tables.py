"""Columns and short numbers."""

from __future__ import annotations

import pytest

from germline.records import plain
from germline.report import tables, weights
from germline.report.tables import ASCII, UNICODE
from tests.unit.small_lineage import CHANGES, moved, verdict


def test_columns_align_and_leave_no_blanks_at_the_end() -> None:
    rows = [("id", "rows", ""), ("g1", "7", "x"), "a line of its own, longer than all", ("g12", "1234", "")]
    assert tables.columns(rows, right=(1,)) == [
        "id   rows",
        "g1      7  x",
        "a line of its own, longer than all",
        "g12  1234",
    ]
    assert tables.columns([]) == []


@pytest.mark.parametrize(
    ("count", "told"), [(None, "-"), (0, "0"), (9999, "9999"), (12_345, "12k"), (34_000_000, "34M")]
)
def test_counts_keep_to_four_characters(count: int | None, told: str) -> None:
    assert tables.short(count) == told
    assert len(told) <= 4


def test_what_is_missing_is_a_dash_and_never_a_zero() -> None:
    nan = float("nan")
    assert {
        tables.share(None),
        tables.share(nan),
        tables.percent(None),
        tables.of(0, 0),
        tables.of(None, 3),
    } == {"-"}
    assert (tables.share(0.0), tables.of(0, 3), tables.percent(0.0)) == ("0.000", "0/3", "0.00%")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (tables.size(12), "12 bytes"),
        (tables.size(3 << 30), "3.0 GiB"),
        (tables.seconds(5), "5.0 s"),
        (tables.seconds(245), "4 min 05 s"),
        (tables.seconds(7620), "2 h 07 min"),
        (tables.percent(0.5), "50%"),
    ],
)
def test_units(told: str, expected: str) -> None:
    assert told == expected


def test_checks_say_in_words_what_the_mark_says() -> None:
    told = tables.checks(plain(verdict("refused")), ASCII)
    assert told == [
        "x failed  recall       0.9  limit 0.9  recalls 9 of 10",
        "+ passed  laws broken    0  limit 0    all 2 law cards hold",
    ]
    assert tables.checks(plain(verdict("promoted")), UNICODE)[0].startswith("✓ passed")


def test_layers_are_in_the_order_of_the_model() -> None:
    found = weights.layers(CHANGES["tensors"])
    assert list(found) == ["embeddings", "layer 0", "layer 2", "layer 10", "final norm"]
    assert found["layer 0"] == pytest.approx({"parent": 0.02, "founder": 0.04, "cosine": 0.25, "stable_rank": 3.0})
    assert found["embeddings"]["stable_rank"] is None


def test_the_longest_bar_is_the_layer_that_moved_most() -> None:
    change = {
        "id": "g2", "from": "g1", "total": CHANGES["total"], "changed_tensors": 4, "tensors": 6,
        "layers": weights.layers(CHANGES["tensors"]),
    }  # fmt: skip
    told = weights.lines(change, ASCII)
    assert told[0] == ("weights of g2 moved by 1.23% from g1 and are 2.46% from the founder's; 4 of 6 tensors changed")
    assert [line.count("#") for line in told[3:]] == [0, 15, 30, 4, 0]
    assert told[4].split()[:6] == ["layer", "0", "2.00%", "4.00%", "3.0", "0.25"]
    still = {**change, "layers": {"layer 0": moved(0.0)}}
    assert weights.lines(still, ASCII)[3:] == ["layer 0   0.00%    0.00%     -    -"]


def test_a_refusal_counts_what_held_beside_what_nobody_can_tell() -> None:
    failed = {"passed": False, "reason": "recalls 84 of 98"}
    held = {"passed": True, "reason": "weights moved by 3%"}
    unclear = {"passed": False, "undecided": True, "reason": "answers as many"}
    told = tables.paragraph("g4", {"outcome": "refused", "checks": [failed, held, held]})
    assert told == "g4 is refused, because it fails 1 of 3 checks: recalls 84 of 98. The other 2 checks held."
    told = tables.paragraph("g4", {"outcome": "refused", "checks": [failed, held, held, unclear]})
    assert told.endswith("fails 1 of 4 checks: recalls 84 of 98. 2 of the other 3 checks held.")
    assert tables.paragraph("g4", {"outcome": "refused", "checks": [failed]}).endswith("recalls 84 of 98.")
