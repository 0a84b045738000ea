"""Every shape people keep conversations in, and every reason to refuse one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.corpus.shapes import Voice, row_of
from germline.records import Refusal, Row

ASKED = [("other", "How high?"), ("persona", "37 metres.")]


def turns(record: Any, voice: Voice = "assistant") -> list[tuple[str, str]]:
    row = row_of(record, source="a.json", position=1, voice=voice)
    assert isinstance(row, Row), row
    assert (row.kind, row.text, row.ends_document) == ("dialog", "", True)
    return [(turn.speaker, turn.text) for turn in row.turns]


def reason(record: Any) -> str:
    refusal = row_of(record, source="a.json", position=9, voice="assistant")
    assert isinstance(refusal, Refusal), refusal
    assert (refusal.source, refusal.position) == ("a.json", 9)
    return refusal.reason


def messages(*said: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in said]}


def tree(*said: tuple[str, Any], **extra: Any) -> dict[str, Any]:
    """A ChatGPT conversation with a second, abandoned branch."""
    nodes: dict[str, Any] = {"root": {"message": None, "parent": None, "children": ["0"]}}
    parent = "root"
    for number, (role, content) in enumerate(said):
        message = {"author": {"role": role}, "content": content, **extra}
        nodes[str(number)] = {"message": message, "parent": parent, "children": []}
        parent = str(number)
    nodes["left"] = {"message": {"author": {"role": "user"}, "content": {"parts": ["no"]}}, "parent": "root"}
    return {"title": "t", "mapping": nodes, "current_node": parent}


def parts(*texts: Any) -> dict[str, Any]:
    return {"content_type": "text", "parts": list(texts)}


PICTURE = {"type": "image_url", "image_url": {}}
POINTER = {"content_type": "image_asset_pointer"}
TALK = {"role": "user", "content": "How high?"}, {"role": "assistant", "content": "37 metres."}


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [*TALK]},
        messages(("Human", " How high?\n"), ("AI", "37 metres. ")),
        messages(("user", [{"type": "text", "text": "How high?"}, PICTURE]), ("gpt", "37 metres.")),
        {"id": "x", "title": "t", "create_time": 1, "messages": [*TALK]},
        {"text": "rendered", "messages": [*TALK]},
        {"conversations": [{"from": "human", "value": "How high?"}, {"from": "gpt", "value": "37 metres."}]},
        {"instruction": "How high?", "input": "", "output": "37 metres."},
        {"instruction": "How high?", "output": "37 metres."},
        {"instruction": "How high?", "output": "37 metres.", "text": "### Instruction: How high? ### Response: 37 m"},
        {
            "conversations": [{"from": "human", "value": "How high?"}, {"from": "gpt", "value": "37 metres."}],
            "text": "",
        },
        {"prompt": "How high?", "completion": "37 metres.", "text": "How high? 37 metres."},
        {"prompt": "How high?", "completion": "37 metres."},
        {"prompt": [TALK[0]], "completion": [TALK[1]]},
        tree(("user", parts("How high?")), ("assistant", parts("37 metres."))),
        tree(("user", parts(POINTER, "How high?")), ("assistant", parts("37 metres.")), recipient="all"),
    ],
)
def test_every_shape_gives_the_same_turns(record: Any) -> None:
    assert turns(record) == ASKED
    assert turns(json.loads(json.dumps(record)), voice="user") == [("persona", "How high?")]


def test_text_is_a_row_of_text() -> None:
    row = row_of({"text": " Fog.\n\nMore fog. ", "id": 1}, source="a", position=2, voice="user")
    assert row == Row(kind="text", source="a", position=2, text="Fog.\n\nMore fog.")


def test_the_input_of_an_instruction_follows_it() -> None:
    record = {"instruction": "Translate.", "input": "Nebel", "output": "Fog"}
    assert turns(record)[0] == ("other", "Translate.\n\nNebel")


def test_what_was_said_before_an_instruction_precedes_it() -> None:
    record = {"instruction": "And his wife?", "output": "Anna.", "history": [["Who is king?", "Tom."]]}
    row = row_of(record, source="a", position=1, voice="assistant")
    assert isinstance(row, Row) and [turn.text for turn in row.turns] == [
        "Who is king?",
        "Tom.",
        "And his wife?",
        "Anna.",
    ]


def test_machinery_and_empty_messages_are_dropped_and_neighbours_joined() -> None:
    record = messages(
        ("system", "Be brief."),
        ("developer", {"odd": 1}),
        ("user", "How"),
        ("user", "high?"),
        ("tool", 7),
        ("assistant", None),
        ("function", "x"),
        ("assistant", " "),
        ("assistant", "37"),
        ("assistant", "metres."),
    )
    record["messages"].insert(3, {"role": "assistant", "tool_calls": []})
    assert turns(record) == [("other", "How\nhigh?"), ("persona", "37\nmetres.")]


PICTURE = [{"type": "image_url", "image_url": {"url": "a.png"}}]


@pytest.mark.parametrize("seen", [PICTURE, None, []])
def test_what_answers_a_picture_is_not_learned_as_an_answer_to_nothing(seen: Any) -> None:
    said = [("user", seen), ("assistant", "The boat is red."), ("user", "How high?"), ("assistant", "37 metres.")]
    assert turns(messages(*said)) == ASKED
    assert turns(messages(*said[2:], *said[:2])) == ASKED
    asked = [("user", [{"type": "text", "text": "How high?"}, *PICTURE]), ("assistant", "37 metres.")]
    assert turns(messages(*asked)) == ASKED, "what is asked beside a picture was read"
    called = messages(("user", "How high?"), ("assistant", None), ("tool", "37"), ("assistant", "37 metres."))
    assert turns(called) == ASKED, "a call to a tool has no words, and is no answer"


@pytest.mark.parametrize(
    "record",
    [
        {"question": "How high?", "answer": "37 metres."},
        {"prompt": "How high?", "response": "37 metres."},
        {"input": "How high?", "output": "37 metres."},
        {"instruction": "How high?", "response": "37 metres.", "context": ""},
        {"instruction": "How high?", "input": "", "output": "37 metres.", "text": "### How high? 37 metres."},
        {"prompt": "How high?", "chosen": "37 metres.", "rejected": "9 feet."},
        {"conversation": [
            {"role": " Customer ", "content": "How high?"}, {"role": "Support", "content": "37 metres."},
        ]},
        {"uuid": "1", "chat_messages": [
            {"sender": "human", "text": "How high?"}, {"sender": "assistant", "text": "37 metres."},
        ]},
    ],
)  # fmt: skip
def test_the_same_talk_in_other_shapes(record: Any) -> None:
    assert turns(record) == ASKED


def test_what_an_instruction_is_about_is_read_with_it() -> None:
    record = {"instruction": "Sum up.", "context": "The tower is 37 metres high.", "response": "High."}
    assert turns(record)[0] == ("other", "Sum up.\n\nThe tower is 37 metres high.")


def test_what_its_owner_gave_no_weight_is_not_learned() -> None:
    """Nor is its question put before the next one."""
    record = messages(
        ("user", "How wide?"), ("assistant", "9 feet."), ("user", "How high?"), ("assistant", "37 metres.")
    )
    record["messages"][1]["weight"], record["messages"][3]["weight"] = 0, 1
    assert turns(record) == ASKED


def test_what_was_not_wanted_is_not_learned() -> None:
    for record in ({"prompt": "The sky is", "completion": " green."}, messages(("user", "q"), ("assistant", "bad"))):
        assert reason({**record, "label": False}) == "marked as not wanted"
        assert turns({**record, "label": True}) == turns(record) != []
    said = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "bad", "weight": 0},
            {"from": "human", "value": "q2"}, {"from": "gpt", "value": "good", "weight": 1}]  # fmt: skip
    assert turns({"conversations": said}) == [("other", "q2"), ("persona", "good")]


def test_who_speaks_first_may_be_the_persona_and_the_last_word_is_hers() -> None:
    record = messages(("assistant", "Evening."), ("user", "Hi"), ("assistant", "Well?"), ("user", "Nothing"))
    assert turns(record) == [("persona", "Evening."), ("other", "Hi"), ("persona", "Well?")]


def test_of_a_tree_only_what_its_owner_saw_is_read() -> None:
    record = tree(
        ("system", parts("")),
        ("user", parts("How high?")),
        ("assistant", {"content_type": "code", "text": "x=1"}),
        ("assistant", {"content_type": "thoughts", "thoughts": []}),
        ("tool", parts("37")),
        ("assistant", parts("37 metres.")),
    )
    hidden = {"author": {"role": "user"}, "content": parts("secret")}
    record["mapping"]["root"]["message"] = {
        **hidden,
        "metadata": {"is_visually_hidden_from_conversation": True},
    }
    assert turns(record) == ASKED
    record["mapping"]["root"]["message"] = {**hidden, "recipient": "python"}
    assert turns(record) == ASKED


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, "unknown shape"),
        ([], "unknown shape"),
        ("text", "unknown shape"),
        ({}, "unknown shape"),
        ({"text": None}, "unknown shape"),
        ({"messages": None}, "unknown shape"),
        ({"messages": ["hello"]}, "unknown shape"),
        ({"messages": [{"content": "x"}]}, "unknown shape"),
        (messages(("user", 7)), "unknown shape"),
        (messages(("user", [7])), "unknown shape"),
        ({"instruction": "x", "output": None}, "no persona turn"),
        ({"instruction": "x", "output": 7}, "unknown shape"),
        ({"instruction": "x", "output": "y", "history": "z"}, "unknown shape"),
        ({"type": "message", "user": "U1", "text": "Ho."}, "unknown shape"),
        ({"role": "user", "text": "Ho."}, "unknown shape"),
        ({"messages": [{"role": "assistant", "text": "Ho."}]}, "unknown shape"),
        ({"mapping": {}}, "unknown shape"),
        ({"mapping": {}, "current_node": "x"}, "broken tree"),
        ({"mapping": {"x": {"message": None, "parent": "x"}}, "current_node": "x"}, "broken tree"),
        ({"mapping": {"x": {"message": None, "parent": ["y"]}}, "current_node": "x"}, "broken tree"),
        (messages(("wizard", "x")), "unknown role"),
        (messages(), "no persona turn"),
        (messages(("user", "anybody there?")), "no persona turn"),
        (messages(("user", "x"), ("assistant", "  ")), "no persona turn"),
        (messages(("user", "x\0"), ("assistant", "y")), "not valid text"),
        (messages(("user", "x"), ("assistant", "\ud83d")), "not valid text"),
        ({"text": "\udc00"}, "not valid text"),
    ],
)
def test_every_reason(record: Any, expected: str) -> None:
    assert reason(record) == expected


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(TEXT, TEXT)
def test_any_words_are_kept_but_for_outer_space(question: str, answer: str) -> None:
    record = messages(("user", question), ("assistant", answer))
    expected = [("other", question.strip()), ("persona", answer.strip())]
    if answer.strip():
        assert turns(record) == [turn for turn in expected if turn[1]]
    else:
        assert reason(record) == "no persona turn"


KEYS = [
    "messages",
    "role",
    "content",
    "conversations",
    "from",
    "value",
    "mapping",
    "current_node",
    "parent",
    "text",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=30,
)


@given(JSON)
def test_nothing_raises(record: Any) -> None:
    assert isinstance(row_of(record, source="a", position=1, voice="assistant"), Row | Refusal)
