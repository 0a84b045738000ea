"""Where a sentence ends, in English and German, and where a full stop only ends an abbreviation."""

from __future__ import annotations

import re
from collections.abc import Iterator

_GO_ON = re.compile(
    "Adm|Bp|Capt|Cmdr|Col|Dipl|Dipl[.]-Ing|Dr|Fa|Fr|Ft|Gen|Gov|Hon|Hr|Ing|Lt|Maj|Mme|Mr|Mrs|Ms|Mt|P[.]O|Prof|Rev|Sen|Sgt|Sr|Sra|St"
    "|Wm|abt|allg|approx|bzgl|bzw|ca|cf|circa|d[.]h|e[.]g|einschl|est|evtl|exkl|ggf|i[.]e|inkl|med|Mio|Mrd|s[.]o|s[.]u|sog|u[.]a|v[.]a|vgl|vs"
    "|z[.]B|z[.]T|zzgl"
)
"""What stands before something that it belongs to."""
_ENDS_NAMES = frozenset({"Ft", "Sr", "Sra", "St"})
"""And what may stand after it: Main St."""
_BEFORE_NUMBERS = re.compile(
    "Abb|Abs|Abt|Art|Bd|Fig|Kap|No|Nr|Pos|Rs|Tab|Tel|Vol|abb|avg|fig|max|min|mind|no|nr|p|pos|tel|vol"
)
"""What is short for something where a number follows, and else may be a word."""
_MAY_END = re.compile(
    "Ave|Bros|Co|Corp|GmbH|Inc|Jr|Ltd|Mfg|Rd|Str|ebd|etc|usw|Jan|Feb|Apr|Aug|Sept?|O[ck]t|Nov|De[cz]|Mon|Tues?|Wed|Thu|Thurs|Fri"
    "|U[.]S|U[.]S[.]A|U[.]K|E[.]U|D[.]C|A[.]D|B[.]C"
)
"""What may as well end a sentence."""
_LETTERS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_BEGINNING = re.compile(
    "(?:A|An|As|At|But|By|For|He|Her|Here|His|How|I|If|In|It|Its|My|No|Nobody|Not|On|One|Our|She|So|That|The|Their"
    "|Then|There|These|They|This|Those|To|We|What|When|Where|Who|Why|With|You|Your"
    "|Das|Dem|Den|Der|Die|Dies|Diese|Ein|Eine|Er|Es|Hier|Ich|Im|Ist|Man|Nach|Sie|Sein|Und|Wir)"
    r"(?![.\w])"
)
"""How a sentence begins, and no name does."""
_MONTH = re.compile(r"(?:Jan|Febr)uar\b|März|April|Mai\b|Jun[io]\b|Jul[io]\b|August|(?:Septem|Okto|Novem|Dezem)ber")
"""In German: "3. Mai"."""
_LAST_WORD = re.compile(r"(?:(?P<number>\S*\d)\s+|(?<!\S))[*_(\[\"'“„‘]*(?P<word>[^\s*_(\[\"'“„‘]\S*)\.$")
_IN_DOUBT = re.compile(rf"(?<![\w.])(?:{_MAY_END.pattern})\.\s+[^\W\d_a-z]")
_LOOK = 24
"""Characters around a stop that are looked at."""


def sentence_ends(text: str, gap: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Where in `text` a sentence ends: the matches of `gap`, which finds what separates two of them, except behind an
    abbreviation, a single letter ("J. Smith") or a day ("3. Mai"), unless a word follows that no name begins with."""
    return (found for found in gap.finditer(text) if _is_end(text, found))


def is_in_doubt(sentence: str) -> bool:
    """Whether it may be two: an abbreviation ends there, which a name or another sentence follows."""
    return _IN_DOUBT.search(sentence) is not None


def is_abbreviation(text: str) -> bool:
    """Whether `text` is no more than an abbreviation or a letter, with or without its full stop, or ends with what
    belongs to something that is missing: "5 Mio"."""
    word = text.removesuffix(".")
    last = word.rpartition(" ")[2]
    return any(kind.fullmatch(word) for kind in (_GO_ON, _BEFORE_NUMBERS, _MAY_END, _LETTERS)) or bool(
        _GO_ON.fullmatch(last) and last not in _ENDS_NAMES
    )


def _is_end(text: str, gap: re.Match[str]) -> bool:
    last = _LAST_WORD.search(text[max(0, gap.start() - _LOOK) : gap.start()])
    if not last or gap[0].strip("*_ \t\n"):  # it ends with another mark
        return True
    word, after = last["word"], text[gap.end() : gap.end() + _LOOK]
    if _GO_ON.fullmatch(word) or (_BEFORE_NUMBERS.fullmatch(word) and after[:1].isdigit()):
        return False
    if word.isdigit():
        return not (len(word) <= 2 and _MONTH.match(after))
    if word in ("a.m", "p.m") or not (_MAY_END.fullmatch(word) or _LETTERS.fullmatch(word)):
        return True
    is_unit = last["number"] and len(word) == 1  # 5 m, 230 V
    return bool(is_unit or _BEGINNING.match(after))
