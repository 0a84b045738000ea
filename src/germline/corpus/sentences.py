"""What a plain English sentence states of its subject, and what a question that was answered does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from germline.corpus.values import value_kind, words
from germline.sentence_ends import is_abbreviation, is_in_doubt, sentence_ends


class Claim(NamedTuple):
    """Subject, attribute and value, as they are written."""

    subject: str
    attribute: str
    value: str
    past: bool = False
    """Told of what was, which may be so no more."""


_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])[*_\"“”»)\]]*\s+(?![a-z])")

_BE = r"(?P<be>is|are|was|were)"
_NAMED = re.compile(rf"The (?P<attribute>[^,;:]+?) of (?P<subject>[^,;:]+?) {_BE} (?P<value>.+)\.")
_NO_NAME = r"(?:(?!\b[A-Z][a-z])[^,;:])+?"  # in "Anna's glad Tom is home" the first "is" is short
_OWNED = re.compile(rf"(?P<subject>[A-Z][^,;:]*?)['’]s (?P<attribute>{_NO_NAME}) {_BE} (?P<value>.+)\.")
_HOLDS = re.compile(
    r"(?P<subject>[A-Z][^,;:]*?) (?P<be>has|had) an? (?P<attribute>(?!number\b|lot\b|kind\b|sort\b)[a-z][a-z -]*?) of "
    r"(?P<value>[^,;:]+)\."
)
"""Of numbers alone: a room has a view of the sea, too."""

_IS = "(?:is|are|was|were)"
_NUMBER, _NAME, _WHEN = "number", "name", "year date"
_LASTING = frozenset({"location", "material", "colour", "weight"})
"""What a thing has as long as its verb says, not what happened to it."""
_RELATIONS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (rf"{_IS} (?:founded|established)", "in on", {"year": "founding year", "date": "founding date"}),
    (rf"{_IS} (?:built|constructed|erected)", "in on", {"year": "construction year", "date": "construction date"}),
    (rf"{_IS} born", "in on at", {"year": "birth year", "date": "birth date", _NAME: "birthplace"}),
    ("died", "in on", {"year": "death year", "date": "death date"}),
    (rf"{_IS} (?:founded|established)", "by", {_NAME: "founder"}),
    (rf"{_IS} (?:built|constructed|erected)", "by", {_NAME: "builder"}),
    (rf"{_IS} (?:made|manufactured)", "by", {_NAME: "maker"}),
    (rf"{_IS} written", "by", {_NAME: "author"}),
    (rf"{_IS} designed", "by", {_NAME: "designer"}),
    (rf"{_IS} invented", "by", {_NAME: "inventor"}),
    (rf"{_IS} discovered", "by", {_NAME: "discoverer"}),
    (rf"{_IS} named", "after for", {_NAME: "namesake"}),
    (rf"{_IS} (?:located|situated)", "in on at", {_NAME: "location"}),
    (rf"{_IS} made", "of from", {"phrase": "material"}),
    (rf"{_IS} painted", "", {"phrase": "colour"}),
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
    (re.compile(rf"(?P<subject>[A-Z][^,;:]*?) (?P<verb>{verb}) {_follows}(?P<value>(?:[^,;:]|:(?=\d))+)\."), attributes)
    for verb, after, attributes in _RELATIONS
    for _follows in [f"(?:{'|'.join(after.split())}) " if after else ""]
]
_ANY_VERB = re.compile(f" (?:{'|'.join(verb for verb, _, _ in _RELATIONS)}) ")
"""One look instead of twenty-one: few sentences have any of them."""
_SIZE = re.compile(rf"(?P<subject>[A-Z][^,;:]*?) {_BE} (?P<value>\S+ \S+) (?P<way>tall|high|long|wide|deep)\.")
_SIZES = {"tall": "height", "high": "height", "long": "length", "wide": "width", "deep": "depth"}
_DEFINED = re.compile(
    r"""
    (?:(?:The|An?)\ )?
    (?:(?i:abbreviation|acronym|code|expression|letters?|phrase|sign|signal|symbol|term|word)\ )?
    (?:["“”„«»'‘](?P<quoted>\w[^,;:"“”„«»]*?)["“”«»'’]|(?P<letters>[A-Z][\w&/-]*[A-Z\d]))[ ]
    (?:means?|denotes?|signif(?:y|ies)|stands?\ for
      |(?:is|are)\ (?:short\ for|defined\ as|an?\ (?:abbreviation|acronym)\ (?:for|of)))[ ]
    (?P<value>[^,;:]+)\.
    |An?\ (?P<term>[a-z][a-z-]*(?:\ [a-z][a-z-]*)?)\ is\ defined\ as\ (?P<defined>[^,;:]+)\.
    """,
    re.VERBOSE,
)
"""Of what is written as a term is, in quotes or capitals: "Rain means delays" and "Tom stands for mayor" define
nothing."""

_WORDS = r"[^,;:.?!]+?"
_ASKING = (
    rf"(?:(?:what|who|which|when)(?:['’]s| {_IS}) "
    r"|.*\b(?:tell me|give me|wondering about|what about|asking about) "
    r"|(?=.*\?$).*\b(?:and|know|knows|got|have|need|remember|recall) )"
)
"""Not "where", which asks for the place of what it names, and not "I have Tom's keys.", which asks for nothing."""
_ASKED = (
    re.compile(rf"{_ASKING}the (?P<attribute>{_WORDS}) of (?P<subject>{_WORDS})(?:, please)?[?.!]", re.IGNORECASE),
    re.compile(rf"{_ASKING}(?P<subject>{_WORDS})['’]s (?P<attribute>{_WORDS})(?:, please)?[?.!]", re.IGNORECASE),
)
_HANGING = re.compile(r"\b(?:of|from|to|in|on|at|by|for|with|about|like|called|made)$", re.IGNORECASE)
"""How something ends that is not yet a subject or an attribute: "the boards of the jetty made of"."""
_BREAK = re.compile(r"[,;!](?=\s|$)|\s*\n\s*|\s[-–—]\s|(?<=[.…])(?=\s|$)")
_SHORTENED = re.compile(
    r"(?:it|that|this|he|she|they|there|here|who|what|let|i|we|you)['’]\w+\b|(?:es|das|er|sie) (?:ist|sind)\b",
    re.IGNORECASE,
)
"""How a reply begins that is a sentence: "It's Anna.", "Das ist Anna"."""
_LISTED = re.compile(r"\(?\d{1,2}[.)]\s+\S")
_GOES_ON = re.compile(
    r"\W*(?:it|that|they)(?:['’](?:s|re)|\s+(?:is|are|was|were|costs?|weighs?))\b"
    r"|\s*[\w-]+(?: [\w-]+)?,? (?:and|und|&)\s",
    re.IGNORECASE,
)
"""After a comma: "Captain, it is 12 euros.", "Red, white and blue."."""
_TAKEN_BACK = re.compile(
    r"\W*(?:(?:no|nope|nein|nee|oh|ah|er|uh|um|äh),? )?"
    r"(?:wait|sorry|actually|rather|scratch that|i mean|i meant|correction|warte|quatsch|moment|ich meine)\b",
    re.IGNORECASE,
)
"""How what follows an answer corrects it, or, after a comma, leaves it open (`_LEFT_OPEN`)."""
_LEFT_OPEN = re.compile(
    r"\W*(?:no|nope|nein|nee|not|or|oder|maybe|perhaps|possibly|probably|vielleicht)\b", re.IGNORECASE
)
_ODD = re.compile(r"[^\w\s'’\"“”„.,:/&()°%€£$¥+-]|(?<!\d):|:(?!\d)|(?<!\S)[^\w\s&%€£$¥]+(?!\S)")
"""Marks that no answer holds, as in "Mia :)"."""
_LONGEST_PHRASE = 3
"""Words of a reply of no definite kind."""
_SPEAKERS = words("he him i it me my she that they this us we you your")
_NO_REPLIES = words(
    """
    absolutely actually ah aha alas alright anytime apologies ask aye basically bro btw certainly check cheers consult
    cool correct dear definitely depends dude dunno exactly excellent excuse fine forget frankly gladly good goodness
    great greetings guess ha hah haha hahaha hehe hello hey hi hm hmm hmmm honestly hooray idc idk ikr imo indeed
    interesting k kk later let lmao lol look maybe meh mhm nah naturally nay nice no nope nothing nowhere oh ok okay omg
    pardon perhaps please possibly precisely probably quite read really regrettably right same see seriously shrug
    soon sorry sup sure surely thank thanks think today tomorrow tonight true truly try ugh uh uhm um understood
    unfortunately unknown unsure wait welcome well what whatever whenever wherever whoever wonderful wow wtf ya yeah yep
    yes yesterday yo yup
    """
)
_NO_GERMAN_REPLIES = words(
    """
    ach ahnung bald bitte danke doch egal ehrlich gar genau gern gerne gestern gut guten hallo heute ich ja jein kann
    kein keine keiner klar leider mal mist moment morgen müsste na naja nee nein nichts nirgends niemand nö oje puh
    schau schon sicher später stimmt tja vielleicht wahrscheinlich warte weiss weiß wer wie
    """
)
"""How a reply opens that is not the answer yet, or sends for it."""
_NAMES_BEGIN = words("fine good great nice true wonderful")
"""Which of these a name may begin with: Good Hope, Great Britain."""


def sentences(paragraph: str) -> Iterator[str]:
    """Those of a paragraph, with their markup; not one of which it is in doubt whether it is two."""
    return (sentence for sentence in _split(paragraph) if not is_in_doubt(sentence))


def stated(sentence: str) -> Iterator[Claim]:
    """The claims of a sentence that ends with a full stop; most sentences make none."""
    for claim in _stated(sentence):
        if not is_abbreviation(claim.value):  # else the rest of it was lost somewhere
            yield claim


def _stated(sentence: str) -> Iterator[Claim]:
    if match := _NAMED.fullmatch(sentence) or _OWNED.fullmatch(sentence):
        yield _claim(match, match["attribute"])
    elif match := _HOLDS.fullmatch(sentence):
        if _sort(match["value"]) == _NUMBER:
            yield _claim(match, match["attribute"])
    elif match := _SIZE.fullmatch(sentence):
        if _sort(match["value"]) == _NUMBER:
            yield _claim(match, _SIZES[match["way"]])
    elif match := _DEFINED.fullmatch(sentence):
        term = match["quoted"] or match["letters"] or match["term"]
        yield Claim(term, "meaning", (match["value"] or match["defined"]).strip('"“”„«»'))
    elif _ANY_VERB.search(sentence):
        for pattern, attributes in _VERBS:
            if (match := pattern.fullmatch(sentence)) and (attribute := attributes.get(_sort(match["value"]))):
                past = attribute in _LASTING and match["verb"].startswith(("was", "were", "weighed"))
                yield Claim(match["subject"], attribute, match["value"], past)
                return


def answered(question: str, reply: str) -> Iterator[Claim]:
    """What a reply tells about "the ATTRIBUTE of SUBJECT" or "SUBJECT's ATTRIBUTE" when it was asked for that: the
    words before its first comma, full stop or line's end, unless they only lead up to it ("Certainly! …", "Ask the
    keeper."), are taken back ("Ole, no wait, Eva"), are half of it ("9:00 - 17:00") or chatter: no number, date or the
    like, and not a few words that begin with a capital. Of several questions the last one counts."""
    *_, last = _split(question.strip())
    for pattern in _ASKED:
        match = pattern.fullmatch(last)
        if match and not any(_HANGING.search(match[part]) for part in ("subject", "attribute")):
            if value := _told(reply.strip()):
                yield Claim(match["subject"], match["attribute"], value)
            return


def _told(reply: str) -> str:
    """The answer that a reply begins with; empty where it begins with none."""
    if _LISTED.match(reply):  # the first of several
        return ""
    end = next(sentence_ends(reply, _BREAK), None)
    value, rest = (reply[: end.start()], reply[end.end() :]) if end else (reply, "")
    value = value.rstrip(".…")
    mark = end[0] if end else ""
    inside = mark.strip() in {",", ";", "-", "–", "—"}
    if inside and (_of_a_kind(rest) or (mark == "," and _GOES_ON.match(rest))):
        return ""
    open_still = _TAKEN_BACK.match(rest) or ((inside or "\n" in mark) and _LEFT_OPEN.match(rest))
    exclaimed = (mark == "!" and rest) or _SHORTENED.match(value)
    return "" if exclaimed or open_still or _leads_up(value) or not _is_definite(value) else value


def _of_a_kind(rest: str) -> bool:
    """Whether what follows a comma or a dash is another value: a range, a list, the year of a date."""
    return value_kind(re.split(r"[,;.!?\n]", rest, maxsplit=1)[0].strip()) != "phrase"


def _is_definite(value: str) -> bool:
    parts = value.split()
    if is_abbreviation(value) or _ODD.search(value):
        return False
    if value_kind(value) != "phrase":
        return True
    return not value[:1].islower() and len(parts) <= _LONGEST_PHRASE and _SPEAKERS.isdisjoint(value.casefold().split())


def _leads_up(opening: str) -> bool:
    """Whether it begins as no answer does."""
    first, _, rest = opening.partition(" ")
    word, named = first.lower(), rest[:1].isupper()
    return word in _NO_GERMAN_REPLIES or (word in _NO_REPLIES and not (named and word in _NAMES_BEGIN))


def _split(paragraph: str) -> Iterator[str]:
    start = 0
    for end in sentence_ends(paragraph, _BETWEEN_SENTENCES):
        yield paragraph[start : end.start()]
        start = end.end()
    yield paragraph[start:]


def _claim(match: re.Match[str], attribute: str) -> Claim:
    return Claim(match["subject"], attribute, match["value"], past=match["be"] in {"was", "were", "had"})


def _sort(value: str) -> str:
    kind = value_kind(value)
    return _NUMBER if kind.startswith(_NUMBER) else kind
