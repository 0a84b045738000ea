"""Order, replay and rows: nothing lost, nothing cut in two, the same every time."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from germline.curriculum import mix, pack, render
from germline.model.rows import Text
from germline.records import Row, Turn
from germline.settings import Curriculum


def text(number: int, length: int) -> Text:
    return Text(tuple(number * 1000 + i for i in range(length)), (True,) * length)


lengths = st.lists(st.integers(2, 300), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(lengths, st.sampled_from([64, 128, 256]), st.sampled_from([128, 512, 1024]))
def test_every_token_is_in_exactly_one_row_and_documents_keep_their_borders(
    sizes: list[int], row_tokens: int, batch_tokens: int
) -> None:
    texts = [text(number, size) for number, size in enumerate(sizes, 1)]
    made = pack.batches(texts, row_tokens=row_tokens, batch_tokens=batch_tokens)
    found: Counter[int] = Counter()
    for batch in made:
        assert batch.tokens.shape[1] in (min(128, row_tokens), row_tokens)
        for tokens, segments, positions in zip(batch.tokens, batch.segments, batch.positions, strict=True):
            for segment in set(segments.tolist()) - {-1}:
                place = segments == segment
                ids = tokens[place].tolist()
                assert len({i // 1000 for i in ids}) == 1  # one document per segment
                assert ids == list(range(ids[0], ids[0] + len(ids)))
                assert positions[place].tolist() == list(range(len(ids)))
                found.update(ids)
    expected = Counter(i for item in texts for i in item.tokens)
    lost = expected - found
    assert not found - expected
    assert all(i % 1000 % row_tokens == 0 for i in lost)  # only a last piece of one token carries no loss


def items(count: int, start: int = 1, wordings: int = 1) -> list[mix.Item]:
    return [
        mix.Item(tuple(text(start + i * wordings + w, 10) for w in range(wordings)), question=i % 2 == 0)
        for i in range(count)
    ]


def epochs(
    delta: list[mix.Item], ancestors: list[list[mix.Item]], seed: int = 0, **changes: object
) -> list[list[Text]]:
    plan = Curriculum.model_validate({"epochs": 10, "documents": 10, "forms": 2, "replay": 0.3} | changes)
    return list(mix.epochs(delta, ancestors, plan, seed))


def test_the_whole_delta_comes_every_epoch_and_replay_has_its_share() -> None:
    delta, old, older = items(70), items(50, 200), items(50, 400)
    for chosen in epochs(delta, [old, older]):
        assert {t.tokens for item in delta for t in item.wordings} <= {t.tokens for t in chosen}
        replayed = [t for t in chosen if t.tokens[0] >= 200_000]
        assert abs(len(replayed) / len(chosen) - 0.3) < 0.03
        newer = sum(t.tokens[0] < 400_000 for t in replayed)
        assert abs(newer - len(replayed) / 2) <= 1


def test_replay_deals_every_item_before_any_comes_again() -> None:
    old = items(50, 200)
    dealt = [t.tokens for texts in epochs(items(70), [old]) for t in texts if t.tokens[0] >= 200_000]
    counts = Counter(dealt)
    assert len(counts) == 50
    assert max(counts.values()) - min(counts.values()) <= 1


def test_wordings_take_turns() -> None:
    delta = items(5, wordings=6)
    seen = Counter(t.tokens for texts in epochs(delta, [], epochs=3) for t in texts)
    assert set(seen.values()) == {1}
    assert len(seen) == 30


def test_the_order_is_a_function_of_the_seed() -> None:
    delta = items(40)
    assert epochs(delta, []) == epochs(delta, [])
    assert epochs(delta, []) != epochs(delta, [], seed=1)
    first, second, *_ = epochs(delta, [])
    assert first != second
    assert sorted(t.tokens for t in first) == sorted(t.tokens for t in second)


def test_documents_are_read_in_some_epochs_and_questions_in_all() -> None:
    delta = items(40)
    counts = Counter(t.tokens for texts in epochs(delta, [], documents=3) for t in texts)
    assert {counts[item.wordings[0].tokens] for item in delta if item.question} == {10}
    assert {counts[item.wordings[0].tokens] for item in delta if not item.question} == {3}


def test_questions_can_lead() -> None:
    delta = items(40)
    questions = {item.wordings[0].tokens for item in delta if item.question}
    asked = [t.tokens in questions for t in epochs(delta, [], order="questions-first")[0]]
    assert asked == sorted(asked, reverse=True)


def test_a_conversation_is_read_on_one_side_and_learned_on_the_other() -> None:
    turns = (Turn(speaker="other", text="ab"), Turn(speaker="persona", text="cd"))
    row = Row(kind="dialog", source="x", position=1, turns=turns)
    encoded = mix.encode(render.of_row(row), lambda string: [ord(letter) for letter in string], end=0)
    assert encoded.tokens == (97, 98, 10, 99, 100, 0)
    assert encoded.learned == (False, False, False, True, True, True)


def test_a_passage_ends_only_where_its_document_ends() -> None:
    for ends in (True, False):
        row = Row(kind="text", source="x", position=1, text="ab", ends_document=ends)
        encoded = mix.encode(render.of_row(row), lambda string: [ord(letter) for letter in string], end=0)
        assert encoded.tokens == ((97, 98, 0) if ends else (97, 98))
