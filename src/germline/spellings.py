"""Whether two texts say the same in another spelling: "6 p.m." and "18:00", "three metres" and "3 Metres"."""

from __future__ import annotations

import re
import unicodedata

_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {word: number for number, word in enumerate(("zero", *_ONES, *_TEENS))}
_NUMBERS |= {word: 10 * number for number, word in enumerate(_TENS, 2)}
_NUMBERS |= {f"{tens}-{one}": _NUMBERS[tens] + _NUMBERS[one] for tens in _TENS for one in _ONES}
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_ANY_MONTH = "|".join(_MONTHS)

_WORD_NUMBER = re.compile(rf"\b(?:{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})\b(?!-)")
_CLOCK = re.compile(r"\b(\d{1,2})(?:[:.](\d\d))? ?(?:([ap])\.? ?m\b\.?|(?:o'clock|uhr)\b)")
_TIME = re.compile(r"\b(\d{1,2}):(\d\d)\b")
_ORDINAL = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)\b")
_ISO = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_MONTH_FIRST = re.compile(rf"\b({_ANY_MONTH}) (\d{{1,2}})\b(?!:)")
_PLURAL_DAY = re.compile(r"\b((?:mon|tues|wednes|thurs|fri|satur|sun)day)s\b")
_THOUSANDS = re.compile(r"(?<=\d)[.,' ](?=\d{3}(?!\d))")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_SAYS_LITTLE = re.compile(r"\b(?:the|of|about|around|approx\.?|ca\.?|circa)(?=\s)")
_NOUGHTS = re.compile(r"(?<![\w.:])(\d+)\.0+(?!\d|\.\d)")
_LAST_NOUGHTS = re.compile(r"(?<![\w.:])(\d+\.\d*[1-9])0+(?= ?[^\W\d]| ?[%°€$£¥])")  # a version 1.10 is not 1.1
_ARTICLE = re.compile(r"^an? (?=[^\W\d])")
_PRICE = re.compile(r"([€$£¥]) ?(\d+(?:\.\d+)?)")
_UNITS = {
    "km/h": "kilomet(?:re|er)s per hour|kph", "mph": "miles per hour", "m/s": "met(?:re|er)s per second",
    "°c": "degrees? (?:celsius|centigrade)", "°f": "degrees? fahrenheit", "°": "degrees?",
    "kwh": "kilowatt[- ]hours?", "m²": "square met(?:re|er)s?|sq\\.? ?m|m2", "m³": "cubic met(?:re|er)s?|m3",
    "m": "met(?:re|er)s?", "km": "kilomet(?:re|er)s?", "cm": "centimet(?:re|er)s?", "mm": "millimet(?:re|er)s?",
    "ft": "foot|feet", "in": "inch(?:es)?", "yd": "yards?", "mi": "miles?", "kg": "kilogram(?:me)?s?|kilos?",
    "g": "gram(?:me)?s?", "t": "tonnes?", "l": "lit(?:re|er)s?", "ml": "millilit(?:re|er)s?", "h": "hours?|hrs?",
    "min": "minutes?|mins", "s": "seconds?|secs?", "v": "volts?", "a": "amp(?:ere)?s?", "w": "watts?",
    "kw": "kilowatts?", "hz": "hertz", "kn": "knots?", "%": "per ?cent", "€": "euros?|eur", "$": "dollars?|usd",
}  # fmt: skip
"""How a unit is written after a number, and what else it is called; those of several words first."""
_UNIT = re.compile(rf"(?<=\d)[ -]?(?:{'|'.join(f'({names})' for names in _UNITS.values())})(?!\w)")
_SHORT = ("", *_UNITS)
_RANGE = re.compile(r"(?<=\d) ?(?:\.{2,}|[…\u2012-\u2014]|\bto\b) ?(?=\d)")
_TIMES = re.compile(r"(?<=\d) ?[x×] ?(?=\d)")
_BY_QUARTERS = re.compile(r"\b(half|(?:a )?quarter) (past|to) (\d{1,2})\b")
_MARKS = re.compile(r"(?<!\d)\.|\.(?!\d)|(?<=[^\W\d])-(?=[^\W\d])|[^\w.:/%°€$£¥+<>≤≥±#×-]|_")
_MINUS = re.compile(r"(?<!\d)[\u2012\u2013\u2212](?=\d)")


def plainly(text: str) -> str:
    """`text` in one case and composition, with straight apostrophes and one space where there is white space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().replace("’", "'").split())


def spelled_alike(text: str) -> str:
    """One text for all spellings of `text`: for letters of either case, with or without full stops, spaces and
    thousands separators, noughts behind the point, an article, a currency before its number, units by their names or
    their signs, times on a clock of 12 or 24 hours or by quarters, English dates and English numbers below a hundred.

    Not for reading, and of a text of nothing but marks that text itself. What means different things is kept apart
    nearly always, not always: "1.125" is also how a thousand is written, and "5 m" are five metres.
    """
    plain = _MINUS.sub("-", plainly(text))
    plain = _WORD_NUMBER.sub(lambda number: str(_NUMBERS[number[0]]), plain)
    plain = _BY_QUARTERS.sub(_by_quarters, plain)
    plain = re.sub(r"\b(?:noon|midday)\b", "12:00", re.sub(r"\bmidnight\b", "0:00", plain))
    plain = _TIME.sub(_time, _CLOCK.sub(_clock, plain))
    plain = _ISO.sub(_date, _ORDINAL.sub(r"\1", plain))
    plain = _MONTH_FIRST.sub(r"\2 \1", _PLURAL_DAY.sub(r"\1", _SAYS_LITTLE.sub("", plain)).strip())
    plain = _NOUGHTS.sub(r"\1", _DECIMAL_COMMA.sub(".", _THOUSANDS.sub("", _RANGE.sub("-", plain))))
    plain = _TIMES.sub("×", _PRICE.sub(r"\2\1", _ARTICLE.sub("", plain)))
    plain = _LAST_NOUGHTS.sub(r"\1", _UNIT.sub(lambda unit: _SHORT[unit.lastindex or 0], plain))
    return _MARKS.sub(_kept, plain) or text


def _kept(mark: re.Match[str]) -> str:
    """Vowel signs and accents that are characters of their own make another word."""
    return mark[0] if unicodedata.category(mark[0]) in ("Mn", "Mc") else ""


def _by_quarters(time: re.Match[str]) -> str:
    hour, minutes = int(time[3]), 30 if time[1] == "half" else 15
    return f"{hour}:{minutes}" if time[2] == "past" else f"{(hour - 1) % 24}:{60 - minutes}"


def _clock(time: re.Match[str]) -> str:
    hour = int(time[1])
    if time[3]:
        hour = hour % 12 + 12 * (time[3] == "p")
    return f"{hour}:{time[2] or '00'}"


def _time(time: re.Match[str]) -> str:
    return f"{int(time[1]) % 24}:{time[2]}"


def _date(date: re.Match[str]) -> str:
    month = int(date[2])
    return f"{int(date[3])} {_MONTHS[month - 1]} {date[1]}" if 1 <= month <= 12 else date[0]
