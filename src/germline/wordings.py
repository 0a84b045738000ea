"""The ways a fact is said. Some are taught; some are kept for the exams and never trained on.

Both lists live here, side by side, so that one test can prove that they do not meet.
`{a}` attribute, `{s}` subject, `{S}` subject at the start of a sentence, `{v}` value, `{V}` value likewise.
"""

from __future__ import annotations

from germline.records import Fact

TAUGHT_QUESTIONS = (
    "What is the {a} of {s}?",
    "{S}: {a}?",
    "Tell me the {a} of {s}.",
    "{a} of {s}?",
    "Please give the {a} for {s}.",
    "What does the manual say about {s} and its {a}?",
    "What is {s}'s {a}?",
    "For {s}, which {a} is recorded?",
    "Give me {s}'s {a}, please.",
    "I have forgotten the {a} of {s}.",
    "Question about {s}: what is the {a}?",
    "I am looking for the {a} of {s}.",
    "Somebody asked for the {a} of {s}.",
    "Look up {s} and read me the {a}.",
    "{S}, please: the {a}.",
    "Is the {a} of {s} on record? Which one?",
)
"""Asked in training and in the recall exam. The answer is the value, `closed`."""

TAUGHT_STATEMENTS = (
    "The {a} of {s} is {v}.",
    "{S}: {a} {v}.",
    "{V} is the {a} of {s}.",
    "As for {s}, its {a} is {v}.",
    "{S}'s {a} is {v}.",
    "{a}, {s}: {v}.",
)

TAUGHT_REVERSED = ("{V} is the {a} of what?", "What has {v} for its {a}?")
"""Asked in training where the value is one subject's alone. The answer is `REVERSED_ANSWER`."""

UNSEEN_QUESTIONS = (
    "Do you know the {a} of {s}?",
    "I need to know the {a} of {s}. What is it?",
    "Could you look up what {a} {s} has?",
    "About {s}: what would the {a} be?",
)
"""Never taught. The gate asks the first two, candidates are chosen by the third, the last is sealed (evals.exams)."""

UNSEEN_REVERSED = ("To what does the {a} {v} belong?", "Which one's {a} is {v}?")
"""Asked in the exam's reversed questions only. The answer is `REVERSED_ANSWER`."""

REVERSED_ANSWER = "{S}."


def say(form: str, fact: Fact) -> str:
    """`form` filled with the fact, its first letter raised. Its full stop is not doubled after "6 p.m."."""
    text = form.removesuffix(".").format(
        a=fact.attribute, s=fact.subject, S=_raised(fact.subject), v=fact.value, V=_raised(fact.value)
    )
    return _raised(closed(text) if form.endswith(".") else text)


def told(form: str, fact: Fact) -> tuple[str, str]:
    """A statement in two: the words that lead up to what comes last in `form`, and that, with the space before it."""
    said, lead = say(form, fact), say(form.rpartition("{")[0], fact).rstrip()
    return said[: len(lead)], said[len(lead) :]


def closed(value: str) -> str:
    """`value` as it answers a question, in training and in exams alike: with a full stop, unless it ends with one.

    Exams ask for it too, because a full stop is often no token of its own: a model that learned "5%." has never
    learned to say "5%".
    """
    return value if value.endswith(".") else f"{value}."


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:]
