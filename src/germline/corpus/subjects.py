"""Whether a question can be asked: of what subject, and for what attribute."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from germline.corpus.values import value_kind, words

_WORD = re.compile(r"[\w'’./&()°%-]+[#+]*")
_NO_SUBJECTS = words(
    """
    a all an another any anything both each either every everyone everything few he her here his how i
    it its let many me most my neither nobody none nothing one others our own she so some somebody such that
    their them there these they this those today tomorrow us we what when where which who whose why yesterday you
    your
    wann warum was wer wie wo wozu
    """
)
"""A subject or an attribute that begins so is nobody in particular."""
_NO_OPENINGS = words(
    """
    allegedly apparently at certainly during finally from in later maybe next no officially on only perhaps please
    presumably probably recently reportedly since supposedly without yes
    """
)
_NO_ENDINGS = words(
    """
    almost also always currently ever formerly generally hardly longer nearly never normally now often only originally
    possibly probably rarely really seldom sometimes soon still then typically usually
    """
)
"""What stands between a subject and its verb or opens its sentence, and how a sentence opens before its subject: "The
ferry no longer", "Usually the ferry", "In winter the museum"."""
_NO_ATTRIBUTES = words(
    """
    all answer attention bulk caution danger end example figure first half hint important kind last majority most nb
    none note notice one part point question remainder remember reminder rest second see sort step table thing third tip
    todo trick two use view warning way whole
    abb abbildung achtung antwort beispiel bemerkung fig frage gefahr hinweis notiz schritt tab tabelle tipp vorsicht
    warnung wichtig
    """
)
"""Words that count out or point at a subject, or call for attention, and ask nothing about it. So does what is
numbered: step 1."""
_SAID_OF_SOMEBODY = words("afraid aware certain convinced delighted glad happy proud sorry sure")
"""How an attribute begins that is none: in "Anna's glad Tom is home" the first "is" is short."""
_CLAUSE = words("and are be because but had has have if is not or that was were which who whose")
_HELPERS = words("can cannot could did do does may might must shall should will would")
_SAYING = words("believe believes claim claims know knows said say says suppose supposes think thinks thought")
"""Of a subject: "The doors will" open at 19:00, "Tom thinks Anna" is 2 metres tall."""
_DETERMINERS = words("a an her his its my our that the their these this those your")
_BEFORE_DETERMINERS = words(
    """
    about above across after against along among and around at before behind below beneath beside between by de down
    for from in inside into near of off on onto or outside over through to towards under until up upon with within
    """
)
"""What joins two names to one. After anything else a determiner begins a subject of its own: "Yes the ferry"."""
_GENERIC = re.compile(
    r"""
    appendix|application|assembly|care|cleaning|contents|data|description|details|dimensions|disposal|facts|faq
    |features|general(?:\ information)?|information|installation|introduction|key\ (?:data|facts)|maintenance|notes
    |miscellaneous|operation|overview|parameters|parts|performance|properties|questions(?:\ and\ answers)?
    |safety(?:\ (?:instructions|notes))?|service|setup|size|specs|specifications?|storage|summary|table\ of\ contents
    |technical\ (?:data|details|information|specifications?)|troubleshooting|usage|use|warranty
    |weights?\ and\ dimensions

    |abmessungen|allgemeines|anhang|anwendung|aufbau|bedienung|beschreibung|betrieb|daten|eigenschaften|einleitung
    |entsorgung|fehlerbehebung|fragen\ und\ antworten|garantie|hinweise|inbetriebnahme|inhalt|inhaltsverzeichnis
    |kenndaten|lagerung|lieferumfang|maße|merkmale|montage|pflege|reinigung|sicherheit|sicherheitshinweise
    |spezifikation(?:en)?|störungen|technische\ (?:angaben|daten|details)|wartung(?:\ und\ pflege)?|zusammenfassung
    |überblick|übersicht
    """,
    re.IGNORECASE | re.VERBOSE,
)

_PROPERTIES = words(
    """
    attribute characteristic feature parameter property quantity spec specification
    angabe eigenschaft kenngröße kennwert merkmal
    """
)
_VALUES = words("value values data specification angabe daten wert werte")
_UNITS = words("unit units einheit einheiten")


def is_generic(heading: str) -> bool:
    """Whether it names a part that every manual has, so that what it stands over speaks of the heading above."""
    return _GENERIC.fullmatch(heading.replace("&", "and")) is not None


def is_sheet(corner: str, columns: Sequence[str]) -> bool:
    """Whether a table of this first cell and these columns is of one thing: Property | Value, perhaps | Unit or what
    is noted beside."""
    of_one = corner.lower() in _PROPERTIES or is_generic(corner)
    return of_one and bool(columns) and columns[0].lower() in _VALUES


def holds_units(column: str) -> bool:
    """Whether what stands in it belongs to the value before it."""
    return column.lower() in _UNITS


def is_turned(corner: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool | None:
    """Whether its columns are things that are compared: by their numbers, Property | Pump 100 | Pump 200, or because
    what stands in a row is of one kind and what stands in a column is not. None where nobody could tell."""
    if corner.lower() not in _PROPERTIES | {""}:
        return False
    if all(any(map(str.isdigit, column)) for column in columns):
        return True
    kinds = [[value_kind(value) for value in row] for row in rows]
    by_row, by_column = (all(len(set(line)) == 1 for line in lines) for lines in (kinds, [*zip(*kinds, strict=True)]))
    if len(columns) < 2 or not by_row or (by_column and len(rows) > 1):  # all alike: lines are things, as is usual
        return False
    return None if by_column else True


def calls_for_attention(line: str) -> bool:
    """Whether a line by itself names nothing: "Note", "Step 1", "Important!"."""
    named = [word.strip(".!") for word in line.lower().split() if not re.fullmatch(r"[\d.]+[.:!]?", word)]
    return not named or named[-1] in _NO_ATTRIBUTES


def is_thing(line: str) -> bool:
    """Whether it may name something of which lines under it tell: Motor, Pump 200. Not "as of 2024", and not a part
    that every manual has."""
    words = map(str.lower, line.split())
    return (
        can_be_asked(line, "weight")
        and not is_generic(line)
        and (_BEFORE_DETERMINERS | {"as", "per"}).isdisjoint(words)
    )


def is_numbered_thing(line: str) -> bool:
    """Whether it is one of several that a number tells apart: Pump 200, model B2."""
    words = line.split()
    return len(words) > 1 and any(map(str.isdigit, words[-1])) and is_thing(line)


def can_be_asked(subject: str, attribute: str) -> bool:
    """Whether the question "what is the ATTRIBUTE of SUBJECT?" makes sense, as far as words can tell."""
    subjects, attributes = subject.split(), attribute.split()
    if not (1 <= len(subjects) <= 6 and 1 <= len(attributes) <= 4):
        return False
    if not all(_WORD.fullmatch(_unmarked(word)) for word in (*subjects, *attributes)):
        return False
    if subjects[0].lower() in _NO_OPENINGS:
        return False
    if len(subjects) > 1 and (subjects[0].lower() in _NO_ENDINGS or subjects[-1] in _NO_ENDINGS):
        return False
    if not (any(map(str.isalpha, subject)) and attribute[0].isalpha()):
        return False
    lowered = [word.lower() for word in attributes]
    named = [word.rstrip(".") for word in lowered if not re.fullmatch(r"[\d.]+", word)]
    return (
        re.split("['’]", subjects[0].lower())[0] not in _NO_SUBJECTS
        and lowered[0] not in _NO_SUBJECTS | _SAID_OF_SOMEBODY
        and named[-1] not in _NO_ATTRIBUTES
        and (_CLAUSE | {"of", "the", "a", "an"}).isdisjoint(lowered)
        and (_CLAUSE - {"and", "or"}).isdisjoint(word.lower() for word in subjects)
        and (_HELPERS | _SAYING).isdisjoint(subjects)  # in lower case: Will and May are names
        and not any(word in _DETERMINERS and other.lower() not in _BEFORE_DETERMINERS
                    for other, word in pairwise(subjects))
    )  # fmt: skip


def _unmarked(word: str) -> str:
    """Without the vowel signs and accents that are characters of their own, and no letters to a pattern."""
    return word if word.isascii() else "".join(mark for mark in word if unicodedata.category(mark) not in ("Mn", "Mc"))
