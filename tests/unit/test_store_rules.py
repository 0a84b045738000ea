"""Two keys: of all that can be tried with a child and its approval, HEAD moves for the legal rows only."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from germline.errors import GermlineError, StoreDamaged
from germline.judge.gate import judge
from germline.marks import Marks, Score, Scorecard, StyleMarks
from germline.records import canonical_json, digest_of
from germline.settings import Gate
from germline.store import keys, ledger
from germline.store.entry import APPROVES, LAWS, Entry, Kind, message
from germline.store.home import Charter, Home
from germline.store.rules import Course, birth

GATE = Gate(cards=0.5)
GATES = ("recall", "generalization", "learned", "style drift", "laws broken", "challenge cards", "weight change")


def g(number: int) -> str:
    return digest_of(b"g%d" % number)


def charter(threshold: int) -> Charter:
    owners = dict(zip(("trainer", "arbiter"), (keys.make() for _ in range(threshold)), strict=False))
    return Charter(name="aria", id="0" * 32, keys=owners, threshold=threshold, digest=digest_of(b"lineage"))


@pytest.fixture(scope="module", params=[1, 2])
def who(request: pytest.FixtureRequest) -> Charter:
    return charter(request.param)


def signed(at: Course, kind: Kind, number: int, *signers: str, **body: Any) -> Entry:
    """The next entry, whether it is allowed or not."""
    entry = Entry(
        sequence=at.length, previous=str(at.previous), kind=kind, generation=g(number), number=number,
        time="2030-01-02T12:00:00Z", body={LAWS: at.laws or ledger.NO_LAWS, **body},
    )  # fmt: skip
    return replace(entry, signatures={public: keys.sign(public, message(entry.digest)) for public in signers})


def go(at: Course, entry: Entry) -> bool:
    """Take an entry if it is allowed; whether HEAD moved."""
    before = at.head
    if at.fault(entry):
        return False
    at.take(entry)
    return at.head != before


def founded(who: Charter) -> Course:
    at = Course(who)
    assert go(at, signed(at, "founded", 0, who.keys["trainer"]))
    return at


def marks(failing: set[str], *, parent: bool) -> Marks:
    right = Score(items=10, right=8 if "recall" in failing and not parent else 10, bits_per_byte=0.5)
    before = Score(items=10, right=3, bits_per_byte=0.4 if "learned" in failing else 3.0)
    wording = Score(items=10, right=2 if "generalization" in failing else 10, bits_per_byte=1.0)
    return Marks(
        recall=before if parent else right, wording=wording, heldout=Score(items=0, right=0, bits_per_byte=0.0),
        spoken=wording, passages_bits_per_byte=None, answers=(), laws={"l/1": "laws broken" not in failing},
        cards={"c": "challenge cards" not in failing},
        style=StyleMarks(
            probes=10, drifts=9 if "style drift" in failing else 0, bits_per_character=1.0, own_bits_per_character=1.0
        ),
    )  # fmt: skip


def verdicts() -> list[tuple[set[str], Kind]]:
    """Every combination of gates that hold and fail, and what the judge makes of it."""
    found = []
    for holds in itertools.product((True, False), repeat=len(GATES)):
        failing = {name for name, held in zip(GATES, holds, strict=True) if not held}
        cards = [Scorecard(weights=g(n), marks={"exam": marks(failing, parent=n == 0)}) for n in (0, 1)]
        verdict = judge(cards[0], cards[1], GATE, weight_change=0.0 if "weight change" in failing else 0.1)
        assert {check.name for check in verdict.checks if not check.passed} == failing
        found.append((failing, verdict.outcome))
    return found  # type: ignore[return-value]


VERDICTS = verdicts()


def test_the_gates_are_all_there_are() -> None:
    assert len(VERDICTS) == 2 ** len(GATES)
    assert [failing for failing, outcome in VERDICTS if outcome == "promoted"] == [set()]


def approvals(at: Course, child: Entry) -> dict[str, Entry]:
    """Ways to approve a child, by name."""
    trainer, *arbiters = at.charter.keys.values() if at.charter else ()
    arbiter, approves = (arbiters or [trainer])[0], child.digest
    good = signed(at, "promoted", 1, arbiter, **{APPROVES: approves})
    forged = replace(good, signatures={arbiter: keys.sign(arbiter, b"something else")})
    return {
        "no signature": signed(at, "promoted", 1, **{APPROVES: approves}),
        "the same key": signed(at, "promoted", 1, trainer, **{APPROVES: approves}),
        "a stranger's key": signed(at, "promoted", 1, keys.make(), **{APPROVES: approves}),
        "a stranger's key beside it": signed(at, "promoted", 1, arbiter, keys.make(), **{APPROVES: approves}),
        "a signature of something else": forged,
        "another generation": signed(at, "promoted", 2, arbiter, **{APPROVES: approves}),
        "another number": replace(good, number=2),
        "no such proposal": signed(at, "promoted", 1, arbiter, **{APPROVES: g(9)}),
        "the founder": signed(at, "promoted", 0, arbiter, **{APPROVES: approves}),
        "no approval": signed(at, "promoted", 1, arbiter),
        "both keys at once, with no proposal": signed(at, "promoted", 3, trainer, arbiter),
        "a rollback instead": signed(at, "rolled_back", 1, trainer),
        "a pin instead": signed(at, "pinned", 1, arbiter),
        "other laws": signed(at, "promoted", 1, arbiter, **{APPROVES: approves, LAWS: g(7)}),
        "approved in another kind's name": signed(at, "refused", 1, arbiter, **{APPROVES: approves}),
        "proposed again": signed(at, "proposed", 1, arbiter),
        "the second key": good,
    }


def test_head_moves_for_the_legal_rows_only(who: Charter) -> None:
    moved: list[tuple[str, ...]] = []
    rows = 0
    two = who.threshold == 2
    for outcome in dict.fromkeys(outcome for _, outcome in VERDICTS):  # the rules see no more of a verdict
        kind = birth(who, outcome)  # type: ignore[arg-type]
        probe = founded(who)
        child = signed(probe, kind, 1, who.keys["trainer"])
        at_once = go(probe, child)
        assert at_once == (outcome == "promoted" and not two)
        for name in approvals(probe, child):
            at = founded(who)
            go(at, child)
            rows += 1
            if go(at, approvals(at, child)[name]):
                moved.append((outcome, name))
    legal = [("promoted", "the second key")] if two else []
    free = [] if two else [row for row in moved if row[1] == "both keys at once, with no proposal"]  # a birth like any
    assert [row for row in moved if row not in free] == legal
    assert rows == 2 * len(approvals(probe, child))


def test_a_direct_promotion_or_a_needless_proposal_is_not_allowed() -> None:
    for threshold, kind, said in [(2, "promoted", "without a proposal"), (1, "proposed", "needs no second key")]:
        who = charter(threshold)
        at = founded(who)
        assert said in str(at.fault(signed(at, kind, 1, *who.keys.values())))  # type: ignore[arg-type]


def test_an_approval_counts_once() -> None:
    who = charter(2)
    trainer, arbiter = who.keys.values()
    at = founded(who)
    go(at, proposal := signed(at, "proposed", 1, trainer))
    assert go(at, approval := signed(at, "promoted", 1, arbiter, approves=proposal.digest))
    assert at.head == (1, g(1))
    assert "out of place" in str(at.fault(approval))
    assert go(at, signed(at, "rolled_back", 0, trainer)), "back with one key"
    assert "approves no proposal" in str(at.fault(signed(at, "promoted", 1, arbiter, approves=proposal.digest)))
    assert go(at, signed(at, "rolled_back", 1, arbiter)), "and forward again, to what was promoted"


def test_whoever_proposes_the_other_approves() -> None:
    who = charter(2)
    trainer, arbiter = who.keys.values()
    at = founded(who)
    go(at, proposal := signed(at, "proposed", 1, arbiter))
    assert not go(at, signed(at, "promoted", 1, arbiter, approves=proposal.digest))
    assert go(at, signed(at, "promoted", 1, trainer, approves=proposal.digest))


def test_one_cannot_go_back_to_what_was_never_head() -> None:
    for threshold, kind in [(2, "proposed"), (2, "refused"), (1, "refused"), (1, "inconclusive")]:
        who = charter(threshold)
        at = founded(who)
        at.take(signed(at, kind, 1, who.keys["trainer"]))  # type: ignore[arg-type]
        assert "never was HEAD" in str(at.fault(signed(at, "rolled_back", 1, who.keys["trainer"])))


def test_laws_are_pinned_by_the_owner_and_hold_until_pinned_anew(who: Charter) -> None:
    trainer, owner = who.keys["trainer"], list(who.keys.values())[-1]
    at = founded(who)
    assert at.laws == ledger.NO_LAWS
    if owner != trainer:
        assert "without the arbiter" in str(at.fault(signed(at, "pinned", 0, trainer, laws=g(5))))
    assert "not HEAD" in str(at.fault(signed(at, "pinned", 1, owner, laws=g(5))))
    at.take(signed(at, "pinned", 0, owner, laws=g(5)))
    assert (at.laws, at.head) == (g(5), (0, g(0)))
    assert "other laws" in str(at.fault(signed(at, "refused", 1, trainer, laws=ledger.NO_LAWS)))
    assert at.fault(signed(at, "refused", 1, trainer)) is None


@pytest.mark.parametrize("threshold", [0, -1, 3, True, 1.0, "2", None])
def test_a_threshold_that_is_none_is_refused(tmp_path: Path, threshold: Any) -> None:
    home = Home.create(tmp_path / "home", "aria", arbiter=keys.make())
    identity = json.loads(home.identity.read_bytes())
    home.identity.chmod(0o644)
    for change in ({"threshold": threshold}, {"keys": {"trainer": identity["keys"]["trainer"]}, "threshold": 2}):
        home.identity.write_bytes(canonical_json(identity | change))
        with pytest.raises(StoreDamaged, match="asks for a number of keys"):
            Home.open(home.root)


def test_one_key_twice_is_one_key(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home", "aria", arbiter=keys.make())
    identity = json.loads(home.identity.read_bytes())
    identity["keys"]["arbiter"] = identity["keys"]["trainer"]
    home.identity.chmod(0o644)
    home.identity.write_bytes(canonical_json(identity))
    with pytest.raises(StoreDamaged, match="asks for a number of keys"):
        Home.open(home.root)


def test_on_disk_the_second_key_must_be_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home.create(tmp_path / "home", "aria", arbiter=keys.make())
    arbiter = keys.path_of(home.charter.keys["arbiter"])
    ledger.append(home, "founded", g(0), 0, {})
    proposal = ledger.append(home, "proposed", g(1), 1, {})
    assert list(proposal.signatures) == [home.charter.keys["trainer"]]
    arbiter.rename(arbiter.with_suffix(".away"))
    with pytest.raises(GermlineError, match="the arbiter's key") as failure:
        ledger.append(home, "promoted", g(1), 1, {APPROVES: proposal.digest})
    assert arbiter.name in failure.value.hint
    with pytest.raises(GermlineError, match="the arbiter's key"):
        ledger.append(home, "pinned", g(0), 0, {LAWS: g(5)})
    assert [entry.kind for entry in ledger.waiting(home, ledger.entries(home))] == ["proposed"]
    arbiter.with_suffix(".away").rename(arbiter)
    approval = ledger.append(home, "promoted", g(1), 1, {APPROVES: proposal.digest})
    assert list(approval.signatures) == [home.charter.keys["arbiter"]]
    history = ledger.entries(home)
    assert (ledger.head(history), ledger.born(history)) == (g(1), [(0, g(0)), (1, g(1))])
    assert ledger.waiting(home, history) == []


def test_a_proposal_waits_while_head_and_laws_are_what_judged_it(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home", "aria", arbiter=keys.make())

    def waiting() -> list[int]:
        return [entry.number for entry in ledger.waiting(home, ledger.entries(home))]

    ledger.append(home, "founded", g(0), 0, {})
    first = ledger.append(home, "proposed", g(1), 1, {})
    ledger.append(home, "proposed", g(2), 2, {})
    assert waiting() == [1, 2]
    ledger.append(home, "promoted", g(1), 1, {APPROVES: first.digest})
    assert waiting() == []
    ledger.append(home, "rolled_back", g(0), 0, {})
    assert waiting() == [2]
    ledger.append(home, "pinned", g(0), 0, {LAWS: g(5)})
    assert waiting() == []
