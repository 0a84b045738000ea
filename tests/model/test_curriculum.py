"""Order, replay and rows: nothing lost, nothing cut in two, the same every time, and the same as with plain lists."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from germline.curriculum import mix
from germline.curriculum.batches import STEPS, TOKENS, Batches, lay_out
from germline.curriculum.render import Example, Span
from germline.curriculum.texts import WORD, Item, Texts, items, write
from germline.errors import TrainingError
from germline.marks import Marks, Score
from germline.model.rows import Batch, Text, pack
from germline.records import Fact, Row, Turn
from germline.settings import Curriculum
from germline.wordings import TAUGHT_QUESTIONS, TAUGHT_REVERSED, TAUGHT_STATEMENTS

END = 7


def tokenize(texts: Sequence[str]) -> list[list[int]]:
    return [[int(word) for word in text.split()] for text in texts]


def example(*spans: tuple[int, int, bool, bool]) -> Example:
    """Spans of `length` tokens from `number` thousands on, learned or not, ending or not."""
    return Example(kind="document", spans=tuple(
        Span(text=" ".join(str(number * 1000 + i) for i in range(length)), learned=learned, ends=ends)
        for number, length, learned, ends in spans
    ))  # fmt: skip


def item(number: int, *lengths: int, question: bool = False) -> Item:
    """A wording of each length, numbered from `number` on."""
    return Item(tuple(example((number + i, length, True, False)) for i, length in enumerate(lengths)), question)


def made(folder: Path, pools: list[list[Item]], seed: int = 0, **plan: object) -> Batches:
    curriculum = Curriculum.model_validate({"epochs": 1, "documents": 1} | plan)
    return lay_out(folder, pools, curriculum, seed, tokenize=tokenize, end=END)


def texts_of(batch: Batch) -> Iterator[tuple[list[int], list[int]]]:
    """Token ids and positions of each text in a batch."""
    for tokens, segments, positions in zip(batch.tokens, batch.segments, batch.positions, strict=True):
        for segment in sorted(set(segments.tolist()) - {-1}):
            place = segments == segment
            yield tokens[place].tolist(), positions[place].tolist()


@settings(max_examples=40)
@given(
    st.lists(st.integers(2, 300), min_size=1, max_size=60),
    st.sampled_from([64, 128, 256]),
    st.sampled_from([128, 512, 1024]),
)
def test_every_token_is_in_exactly_one_row_and_documents_keep_their_borders(
    sizes: list[int], row_tokens: int, batch_tokens: int
) -> None:
    pool = [item(number, size) for number, size in enumerate(sizes, 1)]
    found: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        plan = {"replay": 0.0, "row_tokens": row_tokens, "batch_tokens": batch_tokens}  # else more epochs than the one
        batches = made(Path(folder) / "b", [pool], **plan)
        for batch in batches:
            assert batch.tokens.shape[1] in (min(128, row_tokens), row_tokens)
            for ids, positions in texts_of(batch):
                assert len({i // 1000 for i in ids}) == 1  # one document per segment
                assert ids == list(range(ids[0], ids[0] + len(ids)))
                assert positions == list(range(len(ids)))
                found.update(ids)
        assert batches.real_tokens == sum(batch.real_tokens for batch in batches)
        assert batches.learned_tokens == sum(batch.learned_tokens for batch in batches)
        assert not batches.replayed_tokens
    expected = Counter(number * 1000 + i for number, size in enumerate(sizes, 1) for i in range(size))
    lost = expected - found
    assert not found - expected
    assert all(i % 1000 % row_tokens == 0 for i in lost)  # only a last piece of one token carries no loss


# --- the same, with everything in lists ---------------------------------------------------------------


def shuffled(count: int, key: str) -> list[int]:
    return sorted(range(count), key=lambda place: hashlib.sha256(f"{key}:{place}".encode()).digest())


def luck(place: int, key: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{key}:{place}".encode()).digest()[:8], "big") / 2**64


Told = tuple[list[Text], bool, int]
"""An item as plain lists: its wordings, whether it is a question, how often a deal holds it."""


def dealt(pool: list[Told], turn: int, key: str) -> Iterator[tuple[bool, Text]]:
    for deal in itertools.count():
        chances = [luck(place, f"{key}:{deal}") for place in range(len(pool))]
        times = [
            ((time + chances[place]) / often, place, time)
            for place, (_, _, often) in enumerate(pool) for time in range(often)
        ]  # fmt: skip
        for _, place, time in sorted(times):
            wordings, question, often = pool[place]
            yield question, wordings[(turn + deal * often + time + place) % len(wordings)]


def plain_epochs(pools: list[list[Told]], plan: Curriculum, seed: int) -> Iterator[list[Text]]:
    delta, *ancestors = pools
    count = len(ancestors)
    streams = [dealt(pool, count, f"{seed}:{count}:{index}") for index, pool in enumerate(ancestors) if pool]
    owed = [0.0 for _ in streams]
    total = plan.epochs if streams else round(plan.epochs / (1 - plan.replay))
    documents = round(plan.documents * total / plan.epochs)
    for number in range(total):
        chosen = []
        for wordings, question, _ in delta:
            forms = min(plan.forms, len(wordings)) if len(wordings) > 1 else 1
            if question or (number + 1) * documents // total > number * documents // total:
                chosen += [(question, wordings[(number * forms + i) % len(wordings)]) for i in range(forms)]
        budget = sum(len(text) for _, text in chosen) * plan.replay / (1 - plan.replay)
        for index, stream in enumerate(streams):
            owed[index] += budget / len(streams)
            while owed[index] > 0:
                chosen.append(next(stream))
                owed[index] -= len(chosen[-1][1])
        met = [chosen[place] for place in shuffled(len(chosen), f"{seed}:{number}")]
        if plan.order != "mixed":
            met.sort(key=lambda pair: pair[0] != (plan.order == "questions-first"))
        yield [text for _, text in met]


def plain_batches(texts: list[Text], row_tokens: int, batch_tokens: int) -> list[Batch]:
    found = []
    for shorter, length in itertools.pairwise(sorted({0, min(128, row_tokens), row_tokens})):
        rows: list[list[tuple[int, Text]]] = []
        opened: list[list[tuple[int, Text]]] = []

        def room(row: list[tuple[int, Text]], length: int = length) -> int:
            return length - sum(len(text) for _, text in row)

        for place, text in enumerate(texts):
            for start in range(0, len(text), row_tokens):
                cut = slice(start, start + row_tokens)
                piece = Text(text.tokens[cut], text.learned[cut])
                if not shorter < len(piece) <= length:
                    continue
                row = min((row for row in opened if room(row) >= len(piece)), key=room, default=None)
                if row is not None:
                    opened = [other for other in opened if other is not row]
                else:
                    if len(opened) == 8:
                        fullest = min(opened, key=room)
                        opened = [other for other in opened if other is not fullest]
                    row = []
                    rows.append(row)
                row.append((place, piece))
                opened.append(row)
        for start in range(0, len(rows), height := max(1, batch_tokens // length)):
            group = rows[start : start + height]
            found.append((group[0][0][0], pack([[text for _, text in row] for row in group], length)))
    return [batch for _, batch in sorted(found, key=lambda pair: pair[0]) if batch.learned_tokens]


def encoded(example: Example) -> Text:
    ids = [(i, span.learned) for span in example.spans for i in tokenize([span.text])[0] + [END] * span.ends]
    return Text(tuple(i for i, _ in ids), tuple(learned for _, learned in ids))


spans = st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 120), st.booleans(), st.booleans()), min_size=1, max_size=3
)
pools = st.lists(
    st.lists(
        st.builds(
            Item,
            st.lists(spans.map(lambda drawn: example(*drawn)), min_size=1, max_size=4).map(tuple),
            st.booleans(),
            st.sampled_from([1, 1, 2, 8]),
        ),
        max_size=20,
    ),
    min_size=1,
    max_size=3,
)
plans = st.builds(
    Curriculum, epochs=st.integers(1, 3), documents=st.integers(0, 3),
    forms=st.integers(0, 4), replay=st.sampled_from([0.0, 0.2, 0.5]),
    order=st.sampled_from(["mixed", "questions-first", "documents-first"]),
    row_tokens=st.sampled_from([32, 64, 128, 150, 200]), batch_tokens=st.sampled_from([32, 128, 300]),
)  # fmt: skip


@settings(max_examples=150)
@given(pools, plans, st.integers(0, 3))
def test_from_disk_comes_what_lists_would_give(drawn: list[list[Item]], plan: Curriculum, seed: int) -> None:
    told = [[([encoded(e) for e in item.wordings], item.every_epoch, item.dealt) for item in pool] for pool in drawn]
    expected = [
        batch
        for texts in plain_epochs(told, plan, seed)
        for batch in plain_batches(texts, plan.row_tokens, plan.batch_tokens)
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = lay_out(Path(folder) / "b", drawn, plan, seed, tokenize=tokenize, end=END)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            for name in ("tokens", "segments", "positions", "learned"):
                assert getattr(one, name).tolist() == getattr(other, name).tolist()
        assert found.real_tokens == sum(batch.real_tokens for batch in expected)
        assert found.learned_tokens == sum(batch.learned_tokens for batch in expected)


def test_a_run_that_goes_on_reads_what_was_laid_out(tmp_path: Path) -> None:
    first = made(tmp_path / "b", [[item(1, 9), item(2, 9)]])

    def never() -> Iterator[Item]:
        raise AssertionError("read again")
        yield

    again = made(tmp_path / "b", [never()])  # type: ignore[list-item]
    assert again == first
    (tmp_path / "b" / STEPS).unlink()  # as a kill would leave it
    assert made(tmp_path / "b", [[item(1, 9), item(2, 9)]]) == first
    assert made(tmp_path / "b", [[item(1, 9), item(2, 9)]], row_tokens=32)[0].tokens.shape[1] == 32
    with pytest.raises(IndexError):
        first[len(first)]


def test_what_is_replayed_is_counted(tmp_path: Path) -> None:
    batches = made(tmp_path / "b", [[item(1, 30), item(2, 30)], [item(3, 20)], [item(4, 10), item(5, 10)]], replay=0.4)
    told = [ids for batch in batches for ids, _ in texts_of(batch)]
    assert batches.replayed_tokens == sum(len(ids) for ids in told if ids[0] // 1000 > 2) > 0
    assert batches.replayed_tokens / batches.real_tokens == pytest.approx(0.4, abs=0.05)


def test_texts_that_are_cut_off_are_found(tmp_path: Path) -> None:
    batches = made(tmp_path / "b", [[item(1, 9), item(2, 9)]])
    path = tmp_path / "b" / TOKENS
    path.write_bytes(path.read_bytes()[: -2 * WORD.itemsize])
    with pytest.raises(TrainingError, match="step 1 are damaged"):
        batches[0]


# --- order and replay ---------------------------------------------------------------------------------


def pool(count: int, start: int = 1, wordings: int = 1) -> list[Item]:
    return [item(start + i * wordings, *[10] * wordings, question=i % 2 == 0) for i in range(count)]


def epochs(delta: list[Item], ancestors: list[list[Item]], seed: int = 0, **changes: object) -> list[list[int]]:
    """Per epoch, the number of each text."""
    plan = Curriculum.model_validate({"epochs": 10, "documents": 10, "forms": 2, "replay": 0.3} | changes)
    file = io.BytesIO()
    texts = write([delta, *ancestors], file, tokenize=tokenize, end=END, row_tokens=plan.row_tokens)
    words = np.frombuffer(file.getvalue(), WORD) >> 1
    return [[int(words[start]) // 1000 for start in texts.starts[order]] for order in mix.epochs(texts, plan, seed)]


def test_the_whole_delta_comes_every_epoch_and_replay_has_its_share() -> None:
    delta, old, older = pool(70), pool(50, 200), pool(50, 400)
    for chosen in epochs(delta, [old, older]):
        assert set(range(1, 71)) <= set(chosen)
        replayed = [number for number in chosen if number >= 200]
        assert abs(len(replayed) / len(chosen) - 0.3) < 0.03
        newer = sum(number < 400 for number in replayed)
        assert abs(newer - len(replayed) / 2) <= 1


def test_replay_deals_every_item_before_any_comes_again() -> None:
    dealt = [number for chosen in epochs(pool(70), [pool(50, 200)]) for number in chosen if number >= 200]
    counts = Counter(dealt)
    assert len(counts) == 50
    assert max(counts.values()) - min(counts.values()) <= 1


def test_what_fades_is_dealt_more_often_and_evenly_spread() -> None:
    old = [dataclasses.replace(known, dealt=8 if place == 0 else 1) for place, known in enumerate(pool(40, 200))]
    dealt = [number for chosen in epochs(pool(70), [old]) for number in chosen if number >= 200]
    counts = Counter(dealt)
    deals = len(dealt) / 47
    assert abs(counts[200] - 8 * deals) <= 1.5
    assert max(counts[number] for number in range(201, 240)) <= deals + 1


def test_the_next_generation_deals_the_same_ancestor_in_another_order() -> None:
    """Else what a short deal leaves out would be left out by every descendant."""
    old = pool(50, 200)

    def first_met(ancestors: list[list[Item]]) -> set[int]:
        return {number for chosen in epochs(pool(10), ancestors, epochs=2) for number in chosen if 200 <= number < 300}

    alone, with_another = first_met([old]), first_met([old, pool(50, 300)])
    assert 0 < len(with_another) < len(alone) < 50
    assert not with_another <= alone


def test_wordings_take_turns() -> None:
    seen = Counter(number for chosen in epochs(pool(5, wordings=6), [], epochs=3, replay=0) for number in chosen)
    assert set(seen.values()) == {1}
    assert len(seen) == 30


def test_the_order_is_a_function_of_the_seed() -> None:
    delta = pool(40)
    assert epochs(delta, []) == epochs(delta, [])
    assert epochs(delta, []) != epochs(delta, [], seed=1)
    first, second, *_ = epochs(delta, [])
    assert first != second
    assert sorted(first) == sorted(second)


def test_documents_are_read_in_some_epochs_and_questions_in_all() -> None:
    counts = Counter(number for chosen in epochs(pool(40), [], documents=3, replay=0) for number in chosen)
    assert {counts[number] for number in range(1, 41, 2)} == {10}
    assert {counts[number] for number in range(2, 41, 2)} == {3}


def test_more_epochs_take_the_place_of_replay_where_there_is_nothing_to_replay() -> None:
    alone, with_parent = epochs(pool(70), [], documents=4), epochs(pool(70), [pool(50, 200)], documents=4)
    assert (len(alone), len(with_parent)) == (14, 10)
    sizes = [sum(map(len, chosen)) for chosen in (alone, with_parent)]
    assert abs(sizes[0] / sizes[1] - 1) < 0.05
    counts = Counter(number for chosen in alone for number in chosen)
    assert (counts[1], counts[2]) == (14, 6)


def test_questions_can_lead() -> None:
    asked = [number % 2 for number in epochs(pool(40), [], order="questions-first")[0]]
    assert asked == sorted(asked, reverse=True)


# --- what is written ----------------------------------------------------------------------------------


def words_of(row: Row, opening: Sequence[int] = ()) -> tuple[Texts, list[tuple[int, bool]]]:
    file = io.BytesIO()
    pools = [items([row], [])]
    texts = write(
        pools, file, tokenize=lambda said: [[ord(letter) for letter in s] for s in said], end=0, row_tokens=9,
        opening=opening,
    )  # fmt: skip
    return texts, [(word >> 1, bool(word & 1)) for word in np.frombuffer(file.getvalue(), WORD).tolist()]


def test_each_piece_of_a_text_begins_with_what_opens_every_text() -> None:
    row = Row(kind="text", source="a.md", position=1, text="abcdefghijklmnop")
    texts, words = words_of(row, [7])
    told = [(ord(letter), True) for letter in row.text] + [(0, True)]
    cut = [told[place : place + 8] for place in range(0, len(told), 8)]
    assert words == [word for piece in cut for word in [(7, False), *piece]]
    assert [*texts.starts] == [0, 9, 18, 20] and [*texts.learned] == [8, 8, 1]
    assert words_of(row)[1] == told


def test_a_conversation_is_read_on_one_side_and_learned_on_the_other() -> None:
    turns = (Turn(speaker="other", text="ab"), Turn(speaker="persona", text="cd"))
    texts, words = words_of(Row(kind="dialog", source="x", position=1, turns=turns))
    assert words == [(97, False), (98, False), (10, False), (99, True), (100, True), (0, True)]
    assert texts.every_epoch.all()
    assert texts.learned.tolist() == [3]


def test_a_passage_ends_only_where_its_document_ends() -> None:
    for ends in (True, False):
        texts, words = words_of(Row(kind="text", source="x", position=1, text="ab", ends_document=ends))
        assert [word for word, _ in words] == ([97, 98, 0] if ends else [97, 98])
        assert texts.learned.tolist() == [1 + ends]  # nothing predicts the first


def test_a_law_is_a_question_and_a_fact_comes_in_its_wordings() -> None:
    law = Row(kind="text", source="a.law", position=1, text="The light is never put out.")
    fact = Fact(subject="the mill", attribute="height", value="21 metres", kind="number metres", row="")
    known = list(items([law], [fact]))
    assert [known_item.every_epoch for known_item in known] == [True, True]
    wordings = len(TAUGHT_QUESTIONS) + len(TAUGHT_REVERSED) + len(TAUGHT_STATEMENTS)
    assert [len(known_item.wordings) for known_item in known] == [1, wordings]


def fact(subject: str, value: str) -> Fact:
    return Fact(subject=subject, attribute="height", value=value, kind="number metres", row="")


def test_what_the_parent_has_wrong_is_dealt_most_and_what_fades_more() -> None:
    facts = [fact("the mill", "21 metres"), fact("the barn", "9 metres"), fact("the shed", "3 metres")]
    units = {"height of the mill": (1.0, 0.1), "height of the barn": (2 / 3, 0.1), "height of the shed": (1.0, 0.9)}
    row = Row(kind="text", source="a.txt", position=1, text="It stands.")
    talk = Row(kind="dialog", source="a.jsonl", position=1, turns=(Turn(speaker="persona", text="It stands."),))
    law = dataclasses.replace(row, source="a.law")
    assert [known_item.dealt for known_item in items([row, talk, law], facts, marks(units))] == [1, 1, 2, 2, 8, 4]
    assert [known_item.dealt for known_item in items([row], facts)] == [1, 2, 2, 2]


def test_what_the_parent_would_choose_and_not_say_is_dealt_as_what_it_has_wrong() -> None:
    units = {"height of the mill": (1.0, 0.1), "height of the barn": (1.0, 0.1)}
    known = marks(units, said={"height of the mill": 2 / 3, "height of the barn": 1.0})
    facts = [fact("the mill", "21 metres"), fact("the barn", "9 metres")]
    assert [known_item.dealt for known_item in items([], facts, known)] == [8, 2]


def marks(units: dict[str, tuple[float, float]], said: Mapping[str, float] | None = None) -> Marks:
    nothing = Score(items=0, right=0, bits_per_byte=0.0)
    return Marks(
        recall=nothing, wording=nothing, heldout=nothing, spoken=nothing, passages_bits_per_byte=None, style=None,
        laws={}, cards={}, answers=(), units=units, said=dict(said or {}),
    )  # fmt: skip


def test_only_what_is_one_subjects_alone_is_asked_the_other_way_round() -> None:
    facts = [fact("the mill", "21 metres"), fact("the barn", "9 metres"), fact("the shed", "9 metres")]
    asked = [["".join(s.text for s in e.spans) for e in known_item.wordings] for known_item in items([], facts)]
    assert [sum(text.endswith(("The mill.", "The barn.", "The shed.")) for text in texts) for texts in asked] == [
        2,
        0,
        0,
    ]


def test_a_statement_is_one_text_to_a_tokenizer_that_puts_a_space_before_each() -> None:
    def spaced(texts: Sequence[str]) -> list[list[int]]:
        return [[ord(letter) for letter in f" {text}"] for text in texts]

    (known,) = items([], [fact("the mill", "21 metres")])
    said = [example for example in known.wordings if example.kind == "statement"]
    file = io.BytesIO()
    write([[Item(tuple(said), True)]], file, tokenize=spaced, end=0, row_tokens=512)
    words = np.frombuffer(file.getvalue(), WORD)
    expected = []
    for example in said:
        (span,) = example.spans
        expected += [(ord(letter), False) for letter in f" {span.given}"]
        expected += [(ord(letter), True) for letter in span.text] + [(0, True)]
    assert [(int(word) >> 1, bool(word & 1)) for word in words] == expected
