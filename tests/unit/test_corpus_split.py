"""The snapshot: its books balance, its rows come back, and its choice depends on content alone."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from germline.corpus.clean import Digests, keep
from germline.corpus.facts import facts
from germline.corpus.read import read
from germline.corpus.split import Rows, read_rows, snapshot
from germline.errors import DataError
from germline.records import Delta, Refusal, Row, Turn, canonical_json, digest_of, plain

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
PASSAGES = st.builds(
    Row,
    kind=st.just("text"),
    source=TEXT,
    position=st.integers(1, 99),
    text=TEXT,
    ends_document=st.booleans(),
    under=TEXT,
)
TURNS = st.builds(Turn, speaker=st.sampled_from(["persona", "other"]), text=TEXT)
TALKS = st.builds(
    Row,
    kind=st.just("dialog"),
    source=TEXT,
    position=st.integers(1, 99),
    turns=st.lists(TURNS, min_size=1, max_size=4).map(tuple),
)
REFUSALS = st.builds(
    Refusal, source=TEXT, position=st.integers(0, 99), reason=st.sampled_from(["empty", "broken JSON"])
)
STREAMS = st.lists(PASSAGES | TALKS | REFUSALS, max_size=12)


def balances(delta: Delta) -> bool:
    return delta.rows_in == delta.train_rows + delta.heldout_rows + sum(delta.refused.values())


@given(STREAMS, st.floats(0, 1))
@settings(max_examples=40)
def test_books_balance_and_rows_come_back(stream: list[Row | Refusal], share: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "delta"
        delta = snapshot(stream, folder, heldout_share=share)
        train, heldout = list(read_rows(delta.train)), list(read_rows(delta.heldout))
        refused = [Refusal(**json.loads(line)) for line in (folder / "refused.jsonl").read_bytes().splitlines()]
        digests = [digest_of(path.read_bytes()) for path in (delta.train, delta.heldout)]
    assert balances(delta)
    assert delta.rows_in == len(stream)
    assert (delta.train_rows, delta.heldout_rows) == (len(train), len(heldout))
    assert [row for row in stream if row in train] == train
    assert [row for row in stream if row in heldout] == heldout
    assert [row for row in stream if isinstance(row, Refusal)] == refused
    assert delta.sources == len({row.source for row in stream})
    assert delta.digest == digest_of(canonical_json(digests))
    assert delta.train_bytes == sum(len(t.encode()) for r in train for t in (r.text, *(u.text for u in r.turns)))


@given(st.permutations([f"Keeper's note number {n}, on the weather." for n in range(12)]))
@settings(max_examples=10)
def test_the_order_of_files_does_not_move_a_row(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, text in enumerate(texts):
            (folder / f"{number:02}.txt").write_text(text, encoding="utf-8")
        stream = keep(read(["*.txt"], folder, voice="assistant"), seen=set())
        delta = snapshot(stream, folder / "delta", heldout_share=0.4)
        heldout = {row.text for row in read_rows(delta.heldout)}
        everything = {row.text for row in read_rows(delta.train)} | heldout
    assert everything == set(texts)
    assert heldout == HELDOUT


def held_out(row: Row) -> bool:
    return int(row.content_digest[7:15], 16) / 2**32 < 0.4


NOTES = [
    Row(kind="text", source="elsewhere", position=9, text=f"Keeper's note number {n}, on the weather.")
    for n in range(12)
]
HELDOUT = {row.text for row in NOTES if held_out(row)}


@given(TEXT)
@settings(max_examples=50)
def test_any_text_survives_from_file_to_row(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.jsonl").write_text(json.dumps({"text": text}) + "\n", encoding="utf-8")
        (folder / "a.txt").write_text(text.replace("\r", "\n"), encoding="utf-8", newline="")
        rows = list(read(["a.jsonl", "a.txt"], folder, voice="user"))
        delta = snapshot(rows, folder / "delta", heldout_share=0)
        back = list(read_rows(delta.train))
    assert back == [row for row in rows if isinstance(row, Row)]
    assert back[0].text == text.strip()
    squeezed = "".join("".join(row.text.split()) for row in back[1:])
    assert squeezed == "".join(text.removeprefix("\ufeff").split())


def test_shares_at_the_ends(tmp_path: Path) -> None:
    assert snapshot(NOTES, tmp_path / "none", heldout_share=0).heldout_rows == 0
    assert snapshot(NOTES, tmp_path / "all", heldout_share=1).train_rows == 0
    again = Rows(snapshot(NOTES, tmp_path / "again", heldout_share=0).train)
    assert list(again) == list(again) == NOTES
    empty = snapshot([], tmp_path / "empty", heldout_share=0.1)
    assert (empty.rows_in, empty.train_rows, empty.train_bytes, empty.refused) == (0, 0, 0, {})
    assert list(read_rows(empty.train)) == []


def test_of_a_revised_manual_the_new_value_is_found_though_its_title_was_learned_before(tmp_path: Path) -> None:
    filler = "\n\n".join(
        f"Paragraph {n} tells how the pump is oiled, cleaned and put away for the winter." for n in range(24)
    )
    for name, weight in (("old", "12 kg"), ("new", "14 kg")):
        (tmp_path / name).mkdir()
        text = f"# Pump 200\n\n{filler}\n\n## Technical data\n\n- Weight: {weight}\n"
        (tmp_path / name / "pump.md").write_text(text, encoding="utf-8")
    old = [row for row in read(["old"], tmp_path, voice="user") if isinstance(row, Row)]
    new = keep(read(["new"], tmp_path, voice="user"), seen=Digests(row.content_digest for row in old))
    delta = snapshot(new, tmp_path / "delta", heldout_share=0)
    assert delta.train_rows == 1 and delta.refused["learned before"] == len(old) - 1 > 0
    assert [(fact.subject, fact.value) for fact in facts(read_rows(delta.train))] == [("Pump 200", "14 kg")]


def test_what_a_child_is_refused_for_not_keeping_is_never_kept_from_it(tmp_path: Path) -> None:
    laws = [replace(note, source=f"laws/{place}.{'LAW' if place % 2 else 'law'}") for place, note in enumerate(NOTES)]
    delta = snapshot([*NOTES, *laws], tmp_path / "delta", heldout_share=1)
    assert list(read_rows(delta.train)) == laws
    assert list(read_rows(delta.heldout)) == NOTES


def test_a_failure_on_the_way_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "A good line, long enough."}\nbroken\n')
    with pytest.raises(DataError, match=r"a\.jsonl line 2"):
        snapshot(read(["a.jsonl"], tmp_path, voice="user", strict=True), tmp_path / "delta", heldout_share=0.5)
    assert list((tmp_path / "delta").iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    first = snapshot(NOTES, tmp_path, heldout_share=0.1)
    with pytest.raises(FileExistsError):
        snapshot([], tmp_path, heldout_share=0.1)
    assert len(list(read_rows(first.train))) == first.train_rows


GOOD = canonical_json({name: value for name, value in plain(NOTES[0]).items() if name != "under"})
"""As it was written before rows knew their headings, and where there are none still is."""


@pytest.mark.parametrize(
    "damage",
    [
        GOOD,  # the line end is missing
        b" " + GOOD + b"\n",
        b"\n",
        b"[]\n",
        b"{}\n",
        b"\xff\n",
        b"[" * 200_000 + b"\n",
        GOOD.replace(b'"kind":"text"', b'"kind":"dialog"') + b"\n",
        GOOD.replace(b'"position":9', b'"position":"9"') + b"\n",
        GOOD.replace(b'"turns":[]', b'"turns":[{"speaker":"nobody","text":""}]') + b"\n",
        GOOD.replace(b'"turns":[]', b'"turns":null') + b"\n",
        GOOD.replace(b"{", b'{"extra":1,') + b"\n",
        GOOD.replace(b"}", b',"under":""}') + b"\n",
        GOOD.replace(b"}", b',"under":7}') + b"\n",
    ],
)
def test_damage_is_found_with_its_line(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(GOOD + b"\n" + damage)
    rows = read_rows(path)
    assert next(rows) == NOTES[0]
    with pytest.raises(DataError, match="line 2 is damaged"):
        next(rows)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        next(read_rows(tmp_path / "absent.jsonl"))


def test_a_fact_behind_the_end_of_a_block_of_code_is_learned(tmp_path: Path) -> None:
    rows = [
        Row(kind="text", source="a.md", position=n, text=f"{fence}\n\nThe height of the mill is 21 metres.")
        for n, fence in enumerate(("```", "~~~"), 1)
    ]
    delta = snapshot(rows, tmp_path / "delta", heldout_share=1.0)
    assert delta.heldout_rows == 0 and list(read_rows(delta.train)) == rows


def test_a_row_that_states_a_fact_is_learned_whatever_its_hash(tmp_path: Path) -> None:
    told = Row(kind="text", source="a.md", position=1, text="The height of the mill is 21 metres.")
    idle = Row(kind="text", source="a.md", position=2, text="The gulls came early and nobody wrote it down.")
    asked = (Turn(speaker="other", text="What is the height of the barn?"), Turn(speaker="persona", text="9 metres."))
    talk = Row(kind="dialog", source="a.json", position=1, turns=asked)
    delta = snapshot([told, idle, talk], tmp_path / "delta", heldout_share=1.0)
    assert list(read_rows(delta.train)) == [told, talk]
    assert list(read_rows(delta.heldout)) == [idle]
