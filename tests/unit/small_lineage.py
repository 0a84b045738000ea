"""A lineage without a model: real store, real ledger, invented numbers. For tests of what reads a lineage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from germline.corpus.split import snapshot
from germline.judge.gate import judge
from germline.lineage import (
    ADAPTER,
    EXAM,
    HELDOUT,
    PARENT_SCORECARD,
    PLAN,
    SCORECARD,
    TRAIN,
    TRAINING,
    WEIGHT_CHANGE,
    WEIGHTS,
)
from germline.marks import Check, Marks, Score, Scorecard, StyleMarks, Verdict
from germline.records import Cost, Digest, Row, Spent, canonical_json, digest_of, plain
from germline.settings import Gate
from germline.store import generations, keys, ledger, objects
from germline.store.generations import Manifest
from germline.store.home import Home

PLAN_TEXT = """\
# my plan
[data]
sources = []  # what to learn

[training]
rank = 8
"""


def moved(change: float) -> dict[str, float | None]:
    still = change == 0
    return {
        "parent": change, "founder": 2 * change, "cosine": None if still else 0.25,
        "stable_rank": None if still else 3.0,
    }  # fmt: skip


CHANGES = {
    "total": {"parent": 0.0123, "founder": 0.0246, "cosine": 0.25, "stable_rank": None},
    "tensors": {
        "model.embed_tokens.weight": moved(0.0),
        "model.layers.0.self_attn.q_proj.weight": moved(0.01),
        "model.layers.0.mlp.up_proj.weight": moved(0.03),
        "model.layers.10.mlp.up_proj.weight": moved(0.005),
        "model.layers.2.mlp.up_proj.weight": moved(0.04),
        "model.norm.weight": moved(0.0),
    },
}
MOVED = 0.0123
NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)


def lighthouse(root: Path) -> Home:
    """g0; g1 promoted; g2 promoted; g3, a child of g2, refused; HEAD goes back from g2 to g1."""
    home = Home.create(root, "Östrel")
    home.plan.write_text(PLAN_TEXT, encoding="utf-8")
    found(home)
    bear(home, 1, "promoted", right=9)
    bear(home, 2, "promoted", right=10, rank=16)
    bear(home, 3, "refused", right=4)
    ledger.append(home, "rolled_back", dict(ledger.born(ledger.entries(home)))[1], 1, {"from": 2}, NOON)
    return home


def two_keys(root: Path) -> Home:
    """g0; g1 proposed. The keys of trainer and arbiter are both on this machine."""
    home = Home.create(root, "Two", arbiter=keys.make())
    home.plan.write_text(PLAN_TEXT, encoding="utf-8")
    found(home)
    bear(home, 1, "proposed", right=9)
    return home


def found(home: Home) -> Digest:
    weights = objects.put(home, b"weights 0")
    digest = generations.commit(home, Manifest(parent=None, files={WEIGHTS: weights}, weights=weights))
    origin = {
        "kind": "demo",
        "files": {"model.gguf": digest_of(b"x")},
        "quantization": "Q4_1",
        "license": None,
    }
    ledger.append(home, "founded", digest, 0, {"origin": origin, "parameters": 135_000_000}, NOON)
    return digest


def bear(home: Home, number: int, outcome: str, *, right: int, rank: int = 8) -> Digest:
    """A child of HEAD with `right` of 10 right, one row of its own and one that all children have."""
    parent = ledger.head(ledger.entries(home))
    before = next(entry for entry in ledger.entries(home) if entry.generation == parent)
    exam = objects.put(home, b"exam %d" % number)
    weights = objects.put_in_cache(home, _staged(home, b"weights %d" % number))
    inherited = _exams(home, parent)
    mine, theirs = (
        Scorecard(
            weights=whose.digest,
            marks={name: marks(score) for name in (*inherited, exam.digest)},
        )
        for score, whose in ((right, weights), (2, generations.load(home, parent).weights))
    )
    files = _delta(home, number) | {
        ADAPTER: objects.put(home, b"adapter %d" % number),
        EXAM: exam,
        PLAN: objects.put(home, canonical_json({"data": {"voice": "assistant"}, "training": {"rank": rank}})),
        TRAINING: objects.put(home, canonical_json({"parameters": [_trained()]})),
    }
    digest = generations.commit(home, Manifest(parent=parent, files=files, weights=weights))
    numbers = {born: number for number, born in ledger.born(ledger.entries(home))}
    names = [f"g{numbers[ancestor]}" for ancestor in ledger.ancestors(home, parent)]
    judged = verdict(outcome)
    if outcome == "proposed":  # can be judged again
        judged = judge(theirs, mine, Gate(), weight_change=MOVED, ancestors=names[1:])
        assert judged.outcome == "promoted"
    known = {SCORECARD: mine, PARENT_SCORECARD: theirs, WEIGHT_CHANGE: CHANGES}
    ledger.append(
        home, _kind(outcome), digest, number, body(judged, before.number, mine, theirs), NOON,
        files={name: objects.put(home, canonical_json(value)) for name, value in known.items()},
    )  # fmt: skip
    return digest


def marks(right: int) -> Marks:
    score = Score(items=10, right=right, bits_per_byte=2.5 / right)
    prompt = {"prompt": "How high is it?\n", "gold": "37 metres", "chosen": "12 metres", "right": False}
    return Marks(
        recall=score, wording=score, heldout=Score(items=0, right=0, bits_per_byte=0.0), spoken=score,
        passages_bits_per_byte=1.5, said={"height": 1.0}, laws={"light/1": True, "light/2": True},
        cards={"stairs": right > 5},
        style=StyleMarks(probes=10, drifts=1, bits_per_character=2.0, own_bits_per_character=1.9),
        answers=(
            {"paper": "recall", **prompt},
            {**prompt, "paper": "style", "gold": None, "chosen": "Évening.", "right": True, "fault": ""},
        ),
    )  # fmt: skip


def verdict(outcome: str) -> Verdict:
    checks = (
        Check(name="recall", value=0.9, limit=0.9, passed=outcome == "promoted", reason="recalls 9 of 10"),
        Check(name="laws broken", value=0, limit=0, passed=True, reason="all 2 law cards hold"),
    )
    return Verdict(outcome=outcome, checks=checks)  # type: ignore[arg-type]


def body(judged: Verdict, parent: int, mine: Scorecard, theirs: Scorecard) -> dict[str, Any]:
    spent = Spent(
        seconds_training=61.0, seconds_exams=5.0, seconds_total=70.0, tokens_per_second=900.0,
        peak_memory_bytes=3 << 30, all_attempts=Cost(90.0, 130, 11_000, 2),
    )  # fmt: skip
    return {
        "verdict": plain(judged), "parent": parent,
        "delta": {
            "rows": 2, "heldout": 1, "bytes": 2048, "facts": 7, "rows_in": 5,
            "refused": {"duplicate": 1, "too short": 1},
        },
        "training": {
            "steps": 120, "tokens": 9999, "learned_tokens": 5000, "first_loss": 3.2, "last_loss": 1.234,
            "replayed_tokens": 2000, "anchor_tokens": 1000,
        },
        "candidate": 2, "candidates": 2,
        "selection": [plain(Score(items=10, right=right, bits_per_byte=0.5)) for right in (7, 6, 8)],
        "scores": mine.summary(), "parent_scores": theirs.summary(), "weight_change": MOVED,
        "environment": {"torch": "2.9", "threads": 2}, "spent": plain(spent),
    }  # fmt: skip


def _exams(home: Home, digest: Digest) -> list[Digest]:
    way = [generations.load(home, ancestor) for ancestor in ledger.ancestors(home, digest)]
    return [manifest.files[EXAM].digest for manifest in way if EXAM in manifest.files]


def _delta(home: Home, number: int) -> dict[str, objects.FileRef]:
    rows: Sequence[Row] = [
        Row(kind="text", source="manual.md", position=1, text="The tower is 37 metres high."),
        Row(kind="text", source="manual.md", position=2, text=f"Month {number}: the sea was calm."),
    ]
    place = home.runs / "making"
    delta = snapshot(rows, place, heldout_share=0.0)
    files = {
        TRAIN: objects.put_file(home, delta.train, move=True),
        HELDOUT: objects.put_file(home, delta.heldout, move=True),
    }
    (place / "refused.jsonl").unlink()
    place.rmdir()
    return files


def _trained() -> Mapping[str, Any]:
    return {
        "group": "q_proj.lora_A", "tensors": 30, "parameters": 276_480, "dtype": "float32",
        "learning_rate": 0.001, "weight_decay": 0.0, "changed": 30,
    }  # fmt: skip


def _staged(home: Home, data: bytes) -> Path:
    path = home.runs / "staged"
    path.write_bytes(data)
    return path


def _kind(outcome: str) -> Any:
    return outcome
