"""Every attack on a ledger is found, given either witness; without one, verify says what nobody saw."""

from __future__ import annotations

import random

import pytest

from germline.store.verify import verify
from germline.store.witness import read_checkpoint
from tests.vault import ledger_attacks
from tests.vault.ledger_attacks import BEHIND, INSIDE, LENGTH, Target, build, configured, one


@pytest.fixture(scope="module", params=[False, True], ids=["one key", "two keys"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Target:
    return build(tmp_path_factory.mktemp("attacked"), arbiter=request.param)


def test_the_target_is_whole(target: Target) -> None:
    with configured(target.seen):
        home = ledger_attacks.Home(target.root)
        report = verify(home, checkpoint=read_checkpoint(home, target.checkpoint))
    assert (report.problems, report.unwitnessed) == ((), None)
    kinds = {doc["entry"]["kind"] for doc in ledger_attacks.read(home)}
    assert {"founded", "promoted", "refused", "inconclusive", "rolled_back", "pinned"} <= kinds


def test_every_attack_is_found_given_one_witness(target: Target) -> None:
    names = set()
    for name, place, found in ledger_attacks.attack(target, 5 * len(INSIDE + BEHIND), seed=1):
        names.add(name)
        assert found.by_the_witness and found.by_the_checkpoint, (name, place)
    assert len(names) == len(INSIDE + BEHIND)


@pytest.mark.parametrize("kind", INSIDE)
def test_what_is_done_inside_needs_no_witness(target: Target, kind: ledger_attacks.Attack) -> None:
    dice = random.Random(2)
    for place in (0, 27, LENGTH - 2):
        assert one(target, kind, place, dice).by_itself, place


def test_a_cut_at_any_entry_is_found_and_unwitnessed_is_said(target: Target) -> None:
    for place in range(1, LENGTH):
        found = one(target, ledger_attacks.roll_back, place, random.Random(3))
        assert (found.by_itself, found.by_the_witness, found.by_the_checkpoint) == (False, True, True), place
        assert found.unwitnessed == 0


def test_a_witness_that_is_behind_vouches_for_what_it_saw(target: Target) -> None:
    """Cut back to what the checkpoint names, or to anything after it, a ledger is whole as far as it says."""
    with configured(target.blind):
        home = target.working
        one(target, ledger_attacks.roll_back, 30, random.Random(4))
        mark = ledger_attacks.witness.Mark(sequence=20, digest=ledger_attacks.read(home)[20]["digest"])
        ledger_attacks.forget()
        report = verify(home, checkpoint=mark)
    assert (report.problems, report.unwitnessed) == ((), 21)
