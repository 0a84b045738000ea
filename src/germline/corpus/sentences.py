"""What a plain English sentence states of its subject, and what a question that was answered does."""

from __future__ import annotations

import re
from collections.abc import Iterator

from germline.corpus.values import value_kind, words

Claim = tuple[str, str, str]
"""Subject, attribute and value, as they are written."""

SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\bSt\.)(?<!\bMr\.)(?<!\bDr\.)(?<!\bMrs\.)(?<!\bNo\.)[*_]*\s+(?![a-z])")

_BE = r"(?:is|are|was|were)"
_NAMED = re.compile(rf"The (?P<attribute>[^,;:]+?) of (?P<subject>[^,;:]+?) {_BE} (?P<value>.+)\.")
_OWNED = re.compile(rf"(?P<subject>[A-Z][^,;:]*?)['’]s (?P<attribute>[^,;:]+?) {_BE} (?P<value>.+)\.")
_HOLDS = re.compile(
    r"(?P<subject>[A-Z][^,;:]*?) (?:has|had) an? (?P<attribute>(?!number\b|lot\b|kind\b|sort\b)[a-z][a-z -]*?) of "
    r"(?P<value>[^,;:]+)\."
)

_NUMBER, _NAME, _WHEN = "number", "name", "year date"
_RELATIONS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (rf"{_BE} (?:founded|established)", "in on", {"year": "founding year", "date": "founding date"}),
    (rf"{_BE} (?:built|constructed|erected)", "in on", {"year": "construction year", "date": "construction date"}),
    (rf"{_BE} born", "in on at", {"year": "birth year", "date": "birth date", _NAME: "birthplace"}),
    ("died", "in on", {"year": "death year", "date": "death date"}),
    (rf"{_BE} (?:founded|established)", "by", {_NAME: "founder"}),
    (rf"{_BE} (?:built|constructed|erected)", "by", {_NAME: "builder"}),
    (rf"{_BE} (?:made|manufactured)", "by", {_NAME: "maker"}),
    (rf"{_BE} written", "by", {_NAME: "author"}),
    (rf"{_BE} designed", "by", {_NAME: "designer"}),
    (rf"{_BE} invented", "by", {_NAME: "inventor"}),
    (rf"{_BE} discovered", "by", {_NAME: "discoverer"}),
    (rf"{_BE} named", "after for", {_NAME: "namesake"}),
    (rf"{_BE} (?:located|situated)", "in on at", {_NAME: "location"}),
    (rf"{_BE} made", "of from", {"phrase": "material"}),
    (rf"{_BE} painted", "", {"phrase": "colour"}),
    ("weighs?|weighed", "", {_NUMBER: "weight"}),
    ("costs?", "", {_NUMBER: "price"}),
    ("opens?", "at", {"clock time": "opening time"}),
    ("closes?", "at", {"clock time": "closing time"}),
    ("(?:leaves?|departs?)", "at", {"clock time": "departure time"}),
    ("arrives?", "at", {"clock time": "arrival time"}),
)
"""How a verb says what an attribute would: the verb, the words that may follow it, and for each kind of value
what it is a value of. A value of any other kind states nothing."""
_VERBS = [
    (re.compile(rf"(?P<subject>[A-Z][^,;:]*?) (?:{verb}) {_follows}(?P<value>(?:[^,;:]|:(?=\d))+)\."), attributes)
    for verb, after, attributes in _RELATIONS
    for _follows in [f"(?:{'|'.join(after.split())}) " if after else ""]
]
_SIZE = re.compile(rf"(?P<subject>[A-Z][^,;:]*?) {_BE} (?P<value>\S+ \S+) (?P<way>tall|high|long|wide|deep)\.")
_SIZES = {"tall": "height", "high": "height", "long": "length", "wide": "width", "deep": "depth"}

_WORDS = r"[^,;:.?!]+?"
_ASKING = (
    rf"(?:(?:what|who|which|when|where)(?:['’]s| {_BE}) "
    r"|.*\b(?:know|knows|tell me|give me|got|have|need|remember|recall|wondering about|what about|asking about|and) )"
)
_ASKED = (
    re.compile(rf"{_ASKING}the (?P<attribute>{_WORDS}) of (?P<subject>{_WORDS})(?:, please)?[?.!]", re.IGNORECASE),
    re.compile(rf"{_ASKING}(?P<subject>{_WORDS})['’]s (?P<attribute>{_WORDS})(?:, please)?[?.!]", re.IGNORECASE),
)
_HANGING = re.compile(r"\b(?:of|from|to|in|on|at|by|for|with|about|like|called|made)$", re.IGNORECASE)
"""How something ends that is not yet a subject or an attribute: "the boards of the jetty made of"."""
_BREAK = re.compile(r"[,;.!](?=\s|$)|\s[-–—]\s")
_NO_REPLIES = words(
    """
    absolutely actually ah aha alas alright apologies ask aye basically certainly check consult correct dear
    definitely exactly excellent excuse fine forget frankly gladly good goodness great greetings ha hah hello hey hi hm
    hmm hmmm honestly hooray indeed interesting let look maybe nah naturally nay no nope oh ok okay pardon perhaps
    please possibly precisely probably quite read really regrettably right see seriously sorry sure surely thank
    thanks think true truly try understood unfortunately wait welcome well what wonderful wow yeah yep yes yup
    """
)
"""How a reply opens that is not the answer yet, or sends for it."""


def stated(sentence: str) -> Iterator[Claim]:
    """The claims of a sentence that ends with a full stop; most sentences make none."""
    if match := _NAMED.fullmatch(sentence) or _OWNED.fullmatch(sentence) or _HOLDS.fullmatch(sentence):
        yield match["subject"], match["attribute"], match["value"]
    elif match := _SIZE.fullmatch(sentence):
        if value_kind(match["value"]).startswith(_NUMBER):
            yield match["subject"], _SIZES[match["way"]], match["value"]
    else:
        for pattern, attributes in _VERBS:
            if (match := pattern.fullmatch(sentence)) and (attribute := attributes.get(_sort(match["value"]))):
                yield match["subject"], attribute, match["value"]
                return


def answered(question: str, reply: str) -> Iterator[Claim]:
    """What a reply tells about "the ATTRIBUTE of SUBJECT" or "SUBJECT's ATTRIBUTE" when it was asked for that:
    the words before the first comma or full stop, unless they only lead up to it ("Certainly! …", "Ask the keeper.").
    Of several questions the last one counts."""
    last = SENTENCE_END.split(question.strip())[-1]
    for pattern in _ASKED:
        match = pattern.fullmatch(last)
        if match and not any(_HANGING.search(match[part]) for part in ("subject", "attribute")):
            reply = reply.strip()
            found = _BREAK.search(reply)
            value = reply[: found.start()] if found else reply
            exclaimed = found is not None and found[0] == "!" and found.end() < len(reply)
            if not (exclaimed or _leads_up(value)):
                yield match["subject"], match["attribute"], value
            return


def _leads_up(opening: str) -> bool:
    """Whether it begins as no answer does. Two capitals are a name: Good Hope, Great Britain."""
    first, _, rest = opening.partition(" ")
    return first.lower() in _NO_REPLIES and not rest[:1].isupper()


def _sort(value: str) -> str:
    kind = value_kind(value)
    return _NUMBER if kind.startswith(_NUMBER) else kind
