"""From rows and facts to training texts, in raw format: no chat template, no role tags, no system prompt.

A passage is learned whole. In a conversation the other side's words are read and the persona's are
learned, each of its turns ending with EOS; a prompt is closed by a line break. A fact is said in several
wordings, because one statement alone is not knowledge (Physics of Language Models 3.1, arXiv 2309.14316:
one biography 9.7% extractable, five variants 96%). Of a statement what comes last is learned: which of its
subjects a delta speaks of next cannot be known, and is most of the loss of a whole one (LOG.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from germline.records import Fact, Row, Turn
from germline.wordings import REVERSED_ANSWER, TAUGHT_QUESTIONS, TAUGHT_REVERSED, TAUGHT_STATEMENTS, closed, say, told

PROMPT_END = "\n"
"""Closes what the other side says; the persona's answer begins right after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of text. `learned`: it carries loss. `ends`: EOS follows it, learned if the span is. `given` leads up
    to it and is read only; both are one text to the tokenizer, for some put a space before each (SentencePiece)."""

    text: str
    learned: bool
    ends: bool = False
    given: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One training text that nothing outside it is attended from."""

    kind: Literal["document", "dialog", "question", "statement"]
    spans: tuple[Span, ...]


def prompt(turns: Sequence[Turn]) -> str:
    """The text a persona's answer continues, for turns that end with the other side's."""
    return "".join(turn.text + (PROMPT_END if turn.speaker == "other" else "") for turn in turns)


def of_row(row: Row) -> Example:
    if row.kind == "text":
        return Example(kind="document", spans=(Span(text=row.text, learned=True, ends=row.ends_document),))
    spans = (
        Span(text=turn.text, learned=True, ends=True)
        if turn.speaker == "persona"
        else Span(text=turn.text + PROMPT_END, learned=False)
        for turn in row.turns
    )
    return Example(kind="dialog", spans=tuple(spans))


def of_fact(fact: Fact, *, alone: bool) -> tuple[Example, ...]:
    """Every taught wording of the fact, questions and statements in turn, so that any few are of both.

    Where no other subject has this value (`alone`), it is asked for the subject, too: knowing that A is B is not
    knowing that B is A (the reversal curse, arXiv 2309.12288).
    """
    asked = [_question(say(form, fact), closed(fact.value)) for form in TAUGHT_QUESTIONS]
    asked += [_question(say(form, fact), say(REVERSED_ANSWER, fact)) for form in TAUGHT_REVERSED if alone]
    stated = [
        Example(kind="statement", spans=(Span(given=lead, text=last, learned=True, ends=True),))
        for lead, last in (told(form, fact) for form in TAUGHT_STATEMENTS)
    ]
    pairs = itertools.zip_longest(asked, stated)
    return tuple(example for pair in pairs for example in pair if example is not None)


def _question(asked: str, answer: str) -> Example:
    said = Span(text=answer, learned=True, ends=True)
    return Example(kind="question", spans=(Span(text=asked + PROMPT_END, learned=False), said))
