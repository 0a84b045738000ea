"""What can be said in answer to a question, and of what sort it is."""

from __future__ import annotations

import re

_WEEKDAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_DAY = r"[0-3]?\d(?:st|nd|rd|th)?"
_HOUR = r"(?:[01]?\d|2[0-4])"
_COUNT = (
    r"[-+−]?\d+(?:[ ,.]\d{3})*(?:[.,]\d+)?(?:/\d+)?"
    r"|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty"
    r"(?:-(?:one|two|three|four|five|six|seven|eight|nine))?"
)
_KINDS = {
    "weekday": rf"(?:{_WEEKDAYS})s?",
    "month": rf"(?:{_MONTHS})",
    "date": rf"\d{{4}}-\d\d-\d\d|(?:the )?{_DAY}(?: of)? (?:{_MONTHS})(?:,? \d{{4}})?"
    rf"|(?:{_MONTHS}) {_DAY}(?:, \d{{4}})?|(?:{_MONTHS}) \d{{4}}",
    "clock time": rf"{_HOUR}:[0-5]\d(?::[0-5]\d)?(?: ?[ap]\.?m\.?)?|{_HOUR}(?:\.[0-5]\d)? ?[ap]\.?m\.?"
    r"|noon|midnight|\w+ o['’]clock|(?:half|quarter) (?:past|to) \w+",
    "year": r"1\d{3}|20\d\d",
}
_NUMBER = re.compile(
    rf"(?:about |around |approx\. |ca\. )?([£$€¥]?)(?:{_COUNT})(?:(?: to |[-–])(?:{_COUNT}))?"
    r"\s?(°\w?|%|[£$€¥]|[^\W\d][\w./²³-]*(?: [\w./²³-]+){0,2})?",
    re.IGNORECASE,
)
_NAME = re.compile(r"[^\W\d_a-z][\w'’.-]*(?:,? (?:(?:and|of|the|de|van|von|der|la|le|du|&) )*[^\W_a-z][\w'’.-]*)*")


def value_kind(value: str) -> str:
    """The sort of `value`: `weekday`, `month`, `date`, `clock time`, `year`, `number UNIT` (`number` alone
    where it has none), `name` (every word that matters is capitalised) or `phrase`.

    The unit is lower-cased and otherwise as written: `litre` and `litres` are two kinds.
    """
    for kind, pattern in _KINDS.items():
        if re.fullmatch(pattern, value, re.IGNORECASE):
            return kind
    if number := _NUMBER.fullmatch(value):
        unit = (number[2] or number[1] or "").lower()
        return f"number {unit}".rstrip()
    return "name" if _NAME.fullmatch(value) and value[0].isupper() else "phrase"


def words(text: str) -> frozenset[str]:
    """The words of `text`: a list of words that can be read."""
    return frozenset(text.split())


LONGEST_VALUE = 6
"""Words."""

_VERBS = words(
    """
    is are was were be been being am has have had do does did must may might can cannot could shall
    should will would not never that which who whose whom because if when whenever while unless until
    although though whether than
    """
)
"""A value with one of these is a clause, or the end of a longer sentence."""

_NO_BEGINNINGS = words(
    """
    above after again all almost already also always among and another any anything as asleep at away
    back before behind below beneath beside between beyond both but by down due each easy either enough
    especially even every everything far for from gone good half hard here hidden how in inside into it
    its just less like likely me more most much my neither next no nobody nothing now of off often on
    once only or our out over perhaps quite rarely rather ready safe see seldom siehe simply so somebody someone
    something sometimes somewhere still such sure their them then there these they this those through
    thus to together too toward towards true twice under unknown up upon us usually very what where why
    vgl with within without worth yet you your
    """
)
"""How a value begins that says where, how or how much rather than what."""

_NO_ANSWERS = words(
    """
    afraid alive alone awake bad best better certain clear cold correct dangerous deep different easy
    empty essential excellent false fine first free full great heavy high huge ill important impossible
    large last late little long low main necessary new nice normal obvious old open optional perfect
    poor possible present quiet ready real required right sad same short silent simple slow small soft
    special strange strong sufficient terrible thin tight tiny useful useless usual vital warm weak
    welcome well wide worse worst wrong young
    """
)
"""Single words that judge rather than tell."""

_IRREGULAR = words(
    """
    bent bound broken brought built bought burnt caught chosen cut done drawn driven eaten fed
    forgotten found given grown held hidden hit hung kept known laid led left lent let lit lost made
    meant met paid put read rung run seen sent set shaken shown shut sold spent split spoken stolen
    struck stuck sung sunk swept sworn taken taught thought thrown told torn understood worn wound woven
    written
    """
)
_REGULAR = re.compile(r"[a-z-]{2,}[^\We]ed|[a-z-]{3,}ing")
_NOT_DONE = words(
    """
    bread building ceiling evening herring hundred kindred morning pudding sacred spring string
    """
)
_AFTER_PARTICIPLE = words(
    """
    about after again against along and as at away back before behind below beneath between by daily
    down each every for from in inside into like monthly near off on once only onto or out outside over
    through to together twice under until up upon weekly when with within without yearly
    """
)
_WORDLESS = re.compile(
    r"[\W_]*|n[/.]? ?a\.?|none|nil|tb[acd]|todo|not (?:applicable|available|known|specified)"
    r"|k\. ?a\.?|keine?r?|keine angaben?|entfällt|unbekannt|nicht (?:bekannt|verfügbar|zutreffend)|offen"
    r"|(?:to ?do|fixme)\b.*|x{2,}|\{\{.*\}\}|(?:up)?on (?:request|demand)|auf (?:an|nach)frage|je nach .*"
    r"|s\. ?[aou]\.?|various|diverse|verschieden",
    re.IGNORECASE,
)
"""Says that there is no value."""
_RUNS_ON = re.compile(
    r"[?!;:](?:\s|$)|\w{3,}(?<!\bMrs)(?<!\bProf)(?<!\bapprox)[.…]\s|,\s*(?:and|but|so|or|as|since|for|then|with|it|he|she|they|we|you)\s"
)


def is_unit(text: str) -> bool:
    """Whether it can stand behind a number: kg, %, but not a dash or n/a."""
    return any(mark in text for mark in "%°€$£¥") or not _WORDLESS.fullmatch(text)


def is_answer(value: str) -> bool:
    """Whether `value` is short and closed enough to be the answer to a question.

    Refuses rather too much: clauses, places and manners ("in the shed", "as before"), bare judgements
    ("important"), and participles that tell what is done ("checked by the mate", "kept in oil").
    """
    kind = value_kind(value)
    if kind in _KINDS:  # before the words, for May is no verb here
        return True
    parts = [word.strip(",.'’\"“”()") for word in value.lower().split()]
    if not 1 <= len(parts) <= LONGEST_VALUE or _WORDLESS.fullmatch(value) or _RUNS_ON.search(value):
        return False
    if not _VERBS.isdisjoint(parts) or any(word.endswith(("n't", "n’t")) for word in parts):
        return False
    if parts[0] in _NO_BEGINNINGS or parts[:2] == ["the", "same"]:
        return False
    if len(parts) == 1 and parts[0] in _NO_ANSWERS:
        return False
    return kind != "phrase" or not _tells_what_is_done(parts)


def _tells_what_is_done(parts: list[str]) -> bool:
    first = parts[0]
    participle = first in _IRREGULAR or (_REGULAR.fullmatch(first) and first not in _NOT_DONE)
    return bool(participle) and (len(parts) == 1 or parts[1] in _AFTER_PARTICIPLE or parts[1].endswith("ly"))
