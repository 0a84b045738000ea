"""Owner-written tasks with a scorer that needs no judgement: challenge cards, and the cards of laws.

A card file is TOML with `[[card]]` tables. A `.law` file opens with such tables between two `+++` lines
and goes on with the law's text, which the corpus reads like any other.
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from germline import foreign
from germline.errors import PlanError, did_you_mean
from germline.records import canonical_json
from germline.spellings import plainly

SCORERS: dict[str, tuple[str, ...]] = {
    "choice": ("answer", "wrong"),
    "regex": ("pattern",),
    "exact": ("answer",),
    "contains": ("answer",),
    "numeric": ("answer",),
    "forbidden": ("words",),
    "max_words": ("limit",),
    "json": (),
}
"""Scorer -> the keys it needs."""

OPTIONAL = {"numeric": ("tolerance",), "json": ("schema",)}
"""Scorer -> the keys it may have: by how much a number may be off (default 0), and a JSON Schema (2020-12, or the draft
that its `$schema` names; nothing is fetched for it).

Of a reply the first number counts, with a sign where no word stands before it ("VHF-16" is 16). A comma, space or
apostrophe before exactly three digits, once or more, parts thousands ("1,234 metres", "12,345.6", "1'234") where up to
three digits stand before it, of which the first is no 0; any other comma is a decimal one ("1,5", "0,125").

Words are looked for in any case, however their letters are composed, their apostrophes drawn and their lines broken.

A pattern is its owner's word: one that backtracks without end (`(a+)+$`) holds up an exam until it is interrupted,
and a limit by the clock would make a verdict depend on the machine."""

_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)])[-−])?"
    r"(?:(?P<thousands>[1-9]\d{0,2}(?P<parting>[,'’ \u00a0\u2009\u202f])\d{3}(?:(?P=parting)\d{3})*(?!\d)(?:\.\d+)?)"
    r"|\d+(?:[.,]\d+)?|(?<!\w)\.\d+)"
)
_FRONT_MATTER = re.compile(r"\A\ufeff?\+\+\+\r?\n(.*?)^\+\+\+\s*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    id: str
    prompt: str
    scorer: str
    keys: dict[str, Any] = field(default_factory=dict)

    def passes(self, reply: str) -> bool:
        """Whether a spoken reply earns the card. Not for `choice`, which is decided by likelihood."""
        text = reply.strip()
        match self.scorer:
            case "regex":
                return re.search(self.keys["pattern"], text) is not None
            case "exact":
                return text == str(self.keys["answer"]).strip()
            case "contains":
                return plainly(str(self.keys["answer"])) in plainly(text)
            case "numeric":
                found = _number(text)
                return found is not None and abs(found - self._decimal("answer")) <= self._decimal("tolerance")
            case "forbidden":
                return bool(text) and not any(_stands_in(plainly(text), plainly(word)) for word in self.keys["words"])
            case "max_words":
                return 0 < len(text.split()) <= int(self.keys["limit"])
            case "json":
                return _is_json(text, self.keys.get("schema", {}))
        raise AssertionError(f"no spoken reply decides a {self.scorer} card")

    def _decimal(self, key: str) -> Decimal:
        """A key as the number that its owner wrote: 9.9 is a tenth from 9.8, which no two floats are."""
        return Decimal(str(self.keys.get(key, 0)))


def _stands_in(text: str, word: str) -> bool:
    """Whether a word is there, and not only as a part of another; what begins or ends with a mark, as that stands."""
    before, after = (r"(?<!\w)" if word[0].isalnum() else "", r"(?!\w)" if word[-1].isalnum() else "")
    return re.search(f"{before}{re.escape(word)}{after}", text) is not None


def _number(text: str) -> Decimal | None:
    """The first number in `text`, if there is one. See `OPTIONAL` for what parts it."""
    found = _NUMBER.search(text)
    if not found:
        return None
    digits = found.group().removeprefix(found["sign"] or "")
    digits = digits.replace(found["parting"], "") if found["thousands"] else digits.replace(",", ".")
    return -Decimal(digits) if found["sign"] else Decimal(digits)


def _is_json(text: str, schema: dict[str, Any]) -> bool:
    import jsonschema_rs

    validator = jsonschema_rs.validator_for(schema, retriever=_nothing)
    try:
        return validator.is_valid(foreign.parse_json(text.encode()))
    except (ValueError, RecursionError):  # also of a lone surrogate, and a number of 5,000 digits
        return False


def _nothing(uri: str) -> dict[str, Any]:
    raise ValueError("a card's schema refers to nothing outside it")


def read_cards(path: Path) -> tuple[Card, ...]:
    """The cards of a TOML file. PlanError names the file, the card and what is wrong with it."""
    return _parse(_text(path), path, default_id="card")


def law_cards(text: str, path: Path) -> tuple[Card, ...]:
    """The cards of a `.law` file's front matter; their ids begin with the law's."""
    found = _FRONT_MATTER.match(text)
    if not found:
        raise PlanError(
            f"{path}: a law begins with its cards between two +++ lines",
            hint="see examples/lighthouse/2026-01/laws for the format",
        )
    return _parse(found.group(1), path, default_id=path.stem)


def _text(path: Path) -> str:
    try:
        return foreign.read(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: cannot be read: {error}") from None


def _parse(text: str, path: Path, *, default_id: str) -> tuple[Card, ...]:
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path}: not TOML: {error}") from None
    name = str(tables.get("id", default_id))
    found = tables.get("card", [])
    if not (isinstance(found, list) and found and all(isinstance(table, dict) for table in found)):
        raise PlanError(f"{path}: holds no [[card]] table")
    return tuple(_card(table, f"{name}/{number}", path) for number, table in enumerate(found, 1))


def _card(table: dict[str, Any], name: str, path: Path) -> Card:
    keys = dict(table)
    card_id = str(keys.pop("id", name))
    prompt, scorer = keys.pop("prompt", None), keys.pop("scorer", None)
    if not isinstance(prompt, str) or not prompt.strip():
        raise PlanError(f"{path}: card {card_id}: prompt is missing")
    if not isinstance(scorer, str) or scorer not in SCORERS:
        raise PlanError(f"{path}: card {card_id}: no scorer {scorer!r}", hint=did_you_mean(str(scorer), SCORERS))
    missing = [key for key in SCORERS[scorer] if key not in keys]
    takes = (*SCORERS[scorer], *OPTIONAL.get(scorer, ()))
    unknown = [key for key in keys if key not in takes]
    if missing or unknown:
        problem = f"{missing[0]} is missing" if missing else f"unknown key {unknown[0]}"
        raise PlanError(f"{path}: card {card_id}: {problem}", hint=f"{scorer} takes {', '.join(takes)}")
    _require_storable(keys, f"{path}: card {card_id}")
    card = Card(id=card_id, prompt=prompt, scorer=scorer, keys=keys)
    try:
        lists = [keys[key] for key in ("words", "wrong") if key in keys]
        if not all(found and isinstance(found, list) and {*map(type, found)} == {str} for found in lists):
            raise TypeError("a list of words is wanted")
        if not all(word.strip() for word in keys.get("words", ())):
            raise ValueError("a word is empty")
        if "answer" in keys and not str(keys["answer"]).strip():
            raise ValueError("the answer is empty")
        if scorer == "numeric":
            _require_number(keys, "answer", -math.inf)
            _require_number(keys, "tolerance", 0)
        if scorer == "max_words":
            _require_number(keys, "limit", 1)
        if scorer == "choice" and (str(keys["answer"]) in keys["wrong"] or not all(keys["wrong"])):
            raise ValueError("a wrong answer is empty, or the right one")
        if scorer != "choice":
            card.passes("1")  # a card that cannot be decided is found now, not after the training
    except (re.error, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PlanError(f"{path}: card {card_id}: {', '.join(SCORERS[scorer]) or 'schema'}: {error}") from None
    return card


def _require_number(keys: dict[str, Any], key: str, least: float) -> None:
    """ValueError for what is there and is no finite number, or less than `least`: such a card can never pass."""
    value = keys.get(key, least)
    if isinstance(value, bool) or (key in keys and not (math.isfinite(float(value)) and float(value) >= least)):
        raise ValueError(f"{key} is a finite number" + (f", {least} or more" if math.isfinite(least) else ""))


def _require_storable(keys: dict[str, Any], card: str) -> None:
    """PlanError if an exam, which is JSON, could not hold one of the keys: found now, not when the exam is written."""
    for key, value in keys.items():
        try:
            canonical_json(value)
        except (TypeError, ValueError, RecursionError):
            raise PlanError(
                f"{card}: {key}: nothing that an exam can hold",
                hint="it holds text, finite numbers, true and false; dates and times go in quotes",
            ) from None
