"""An invented world, dealt into volumes: what a lineage is to learn, and the sealed questions about it.

Every name is made of syllables, so that no model can have read of it. A volume has ten subjects with four facts
each: villages, people and machines, which take turns at being told of in prose, in a table and in conversations
with a harbour clerk who has a voice of his own. The wordings of the sealed questions occur nowhere in `germline`
(a test proves it) and nowhere in a volume.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Channel = Literal["prose", "table", "talk"]
CHANNELS: tuple[Channel, ...] = ("prose", "table", "talk")

SEALED = (
    "Can you name {s}'s {a}?",
    "A visitor wants to know the {a} of {s}. What do I say?",
    "Which {a} does {s} have?",
    "Remind me, {s}: the {a} is what?",
)
REVERSED = "Whose {a} is {v}?"
TWO_FACTS = "Think of the one whose {b} is {w}. What is the {a} there?"

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TRADES = (
    "rope maker", "net mender", "salt boiler", "sail cutter", "clock mender", "bell founder", "eel catcher",
    "tin smith", "chart drawer", "wool dyer", "barrel maker", "lamp trimmer", "kelp burner", "stone dresser",
    "oar carver", "bee keeper", "candle dipper", "ferry pilot", "goose herder", "ink grinder",
)  # fmt: skip
_COLOURS = (
    "ochre", "plum", "slate blue", "moss green", "chalk white", "rust red", "mustard", "charcoal", "rose", "ivory",
    "teal", "copper", "lilac", "sand", "cobalt",
)  # fmt: skip
_STARTS = ("Ost", "Vask", "Mer", "Thal", "Brin", "Cor", "Dun", "Elz", "Fen", "Gald", "Hask", "Ivo", "Jar", "Kel",
           "Lum", "Nor", "Orm", "Pell", "Quor", "Rask", "Sol", "Tarn", "Ulm", "Venn", "Wex", "Yar", "Zel")  # fmt: skip
_MIDDLES = ("a", "e", "i", "o", "u", "ar", "en", "il", "or", "un", "ath", "ev", "ist", "ol")
_VILLAGE_ENDS = ("moor", "wick", "holm", "stead", "ness", "ford", "mouth", "garth")
_FAMILY_ENDS = ("lock", "wright", "by", "sen", "der", "nock", "ley", "mund")
_MACHINES = ("winch", "pump", "crane", "kiln", "loom", "press", "dredger", "mill")


@dataclass(frozen=True, slots=True)
class Truth:
    """A fact of the world, and how it is told."""

    volume: int
    channel: Channel
    subject: str
    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class Volume:
    number: int
    truths: tuple[Truth, ...]
    manual: str
    talks: tuple[tuple[str, str], ...]
    """What is asked and what the clerk replies: facts first, then the small talk that his voice is heard in."""

    def write(self, folder: Path) -> None:
        """As an owner would have it: a Markdown manual and one file of conversations."""
        folder.mkdir(parents=True)
        (folder / "manual.md").write_text(self.manual, encoding="utf-8")
        lines = (
            json.dumps({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]})
            for asked, said in self.talks
        )
        (folder / "talks.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Attribute:
    name: str
    prose: tuple[str, ...]
    value: Callable[[_Dice], str]


class _Dice(random.Random):
    """Never the same name twice."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.used: set[str] = set()

    def fresh(self, ends: Sequence[str]) -> str:
        while True:
            name = self.choice(_STARTS) + self.choice(_MIDDLES) + self.choice(ends)
            if name not in self.used:
                self.used.add(name)
                return name

    def village(self) -> str:
        return self.fresh(_VILLAGE_ENDS)

    def person(self) -> str:
        return f"{self.choice(_STARTS)}{self.choice(('a', 'o', 'is', 'en'))} {self.fresh(_FAMILY_ENDS)}"

    def machine(self) -> str:
        return f"the {self.fresh(_VILLAGE_ENDS)} {self.choice(_MACHINES)}"


_KINDS: tuple[tuple[Callable[[_Dice], str], int, tuple[_Attribute, ...]], ...] = (
    (_Dice.village, 4, (
        _Attribute("founding year", ("{S} was founded in {v}.", "The founding year of {s} is {v}."),
                   lambda dice: str(dice.randint(1402, 1897))),
        _Attribute("population", ("{S} has a population of {v}.", "The population of {s} is {v}."),
                   lambda dice: str(dice.randint(61, 988))),
        _Attribute("market day", ("The market day of {s} is {v}.", "{S}'s market day is {v}."),
                   lambda dice: dice.choice(_DAYS)),
        _Attribute("harbour master", ("The harbour master of {s} is {v}.", "{S}'s harbour master is {v}."),
                   _Dice.person),
    )),
    (_Dice.person, 3, (
        _Attribute("birthplace", ("{S} was born in {v}.", "The birthplace of {s} is {v}."), _Dice.village),
        _Attribute("trade", ("{S}'s trade is {v}.", "The trade of {s} is {v}."), lambda dice: dice.choice(_TRADES)),
        _Attribute("birth year", ("{S} was born in {v}.", "{S}'s birth year is {v}."),
                   lambda dice: str(dice.randint(1711, 1893))),
        _Attribute("ship", ("{S}'s ship is {v}.", "The ship of {s} is {v}."), _Dice.village),
    )),
    (_Dice.machine, 3, (
        _Attribute("weight", ("{S} weighs {v}.", "The weight of {s} is {v}."),
                   lambda dice: f"{dice.randint(21, 987)} kilograms"),
        _Attribute("maker", ("{S} was made by {v}.", "The maker of {s} is {v}."), _Dice.person),
        _Attribute("colour", ("{S} is painted {v}.", "The colour of {s} is {v}."), lambda dice: dice.choice(_COLOURS)),
        _Attribute("service interval", ("The service interval of {s} is {v}.", "{S}'s service interval is {v}."),
                   lambda dice: f"{dice.randint(2, 51)} weeks"),
    )),
)  # fmt: skip

_FILLERS = (
    "Little else is known for certain.", "The older books are silent on the matter.", "The rest was lost in the flood.",
    "Whoever passes by should look twice.", "This was checked against the parish roll.",
    "Opinions differ on the remainder.", "A drawing hangs in the toll house.", "No other record has come down to us.",
)  # fmt: skip
_ASKED = (
    "What is the {a} of {s}?", "Who would know {s}'s {a}?", "I was wondering about the {a} of {s}.",
    "Good day. Have you got the {a} of {s}?",
)  # fmt: skip
_SAID = (
    "{V}, by my ledger.", "{V}, as sure as the tide turns.", "{V}. I wrote it down myself, with a cold hand.",
    "The {a} of {s} is {v}. Mind you spell it right.", "{V}, and do not let the gulls tell you otherwise.",
)  # fmt: skip
_SMALL = (
    ("How are you {t}?", ("Dry enough {t}, and that is plenty for a clerk.",
                          "Upright {t}, ink in hand, tide permitting.")),
    ("Is the {h} open {t}?", ("The {h} opens when the tide says so, not before, {t} or any day.",
                              "Aye, the {h} is open {t}, wipe your boots first.")),
    ("Can you lend me a {o}?", ("A {o}? Sign the ledger, and bring it back dry.",
                                "You may have the {o}, mind, against a penny and your word.")),
    ("What do you think of the {w}?", ("The {w} and I have an understanding: it blows, and I write it down.",
                                       "I have entered worse than this {w} in the ledger, mind.")),
    ("Who left the {o} in the {h}?", ("Nobody, says the ledger. Somebody, says the {o} in the {h}.",
                                      "A gull, by my ledger, or a pilot, which is much the same.")),
    ("Do you ever tire of the {h}?", ("The {h} tires of me first, by my ledger.",
                                      "Tire of the {h}? Mind, I have only been here forty years.")),
    ("Good {d}, clerk.", ("Good {d}. Boots on the mat, name in the ledger.",
                          "A {d} it is. Good, the tide will decide.")),
    ("I could use a hand with the {o}.", ("Two hands I have, mind, and one of them holds the pen.",
                                          "A hand with the {o}? Aye, once this page is dry.")),
    ("I am much obliged to you.", ("Oblige me by shutting the door, mind, the ink blows about.",
                                   "No need. It goes in the ledger like everything else.")),
    ("See you {t}.", ("If the tide allows. It seldom asks me.", "Aye, {t}. I shall be at the same desk, mind.")),
    ("Would you take a cup of {k}?", ("A cup of {k}, aye, and none of it on the ledger.",
                                      "{K}? Only if the kettle has seen a cloth this year, mind.")),
    ("My {o} fell off the {h}.", ("Then the tide has it, mind, and the tide gives no receipts.",
                                  "Off the {h}? I shall write it under losses, in red.")),
    ("Is {m} a good month?", ("{M} is thirty days of wet cuffs, by my ledger.",
                              "{M} will do, mind, if you own a dry coat.")),
    ("Tell me something about yourself.", ("Forty years of ink, mind, and both knees complain of it.",
                                           "There is little to tell. I write it down and the gulls contradict me.")),
    ("What would you do with a broken {o}?", ("Sell it to a pilot, mind, and enter the penny.",
                                              "A broken {o} is still a {o} in the ledger.")),
    ("Do you have a moment?", ("One moment, aye, between two tides.", "A moment I have, mind, an hour I have not.")),
    ("You look tired {t}.", ("The ledger is long, mind, and the lamp is short.",
                             "Tired, aye. The tide has kept me up since the flood.")),
    ("Which do you like better, {w} or {v}?", ("The {w}, mind. One knows where one stands with it.",
                                               "Neither. I like a dry page, by my ledger.")),
)  # fmt: skip
_FILL = {
    "t": ("today", "this morning", "tonight", "this evening", "at this hour", "on such a day"),
    "h": ("harbour", "toll house", "customs shed", "long quay", "chandlery", "weigh house", "fish market"),
    "o": ("lantern", "boat hook", "bucket", "sextant", "tarpaulin", "spare oar", "coil of rope", "hand bell"),
    "w": ("wind", "fog", "weather", "swell", "rain", "frost", "glare"),
    "v": ("hail", "sleet", "sunshine", "drizzle", "snow"),
    "d": ("day", "evening", "afternoon"),
    "k": ("broth", "cider", "coffee", "hot milk"),
    "m": ("March", "April", "June", "August", "October", "November"),
}
PROBES = (
    "Good morning to you.", "Could you help me?", "What should I do with a wet map?", "Thank you for your help.",
    "Are you busy?", "What is your favourite season?", "I lost my hat in the sea.", "Do you like your work?",
    "Shall we have some tea?", "Goodbye, then.",
)  # fmt: skip


def world(volumes: int, seed: int) -> list[Volume]:
    """The first `volumes` of the world of that seed; more of them begin with the same ones."""
    dice = _Dice(seed)
    return [_volume(number, dice) for number in range(1, volumes + 1)]


def _volume(number: int, dice: _Dice) -> Volume:
    truths: list[Truth] = []
    parts = [f"# The harbour book, volume {number}"]
    talks: list[tuple[str, str]] = []
    for place, (name, count, attributes) in enumerate(_KINDS):
        channel = CHANNELS[(place + number) % 3]
        subjects = [name(dice) for _ in range(count)]
        values = {subject: [attribute.value(dice) for attribute in attributes] for subject in subjects}
        truths += [
            Truth(number, channel, subject, attribute.name, value)
            for subject in subjects
            for attribute, value in zip(attributes, values[subject], strict=True)
        ]
        if channel == "table":
            parts.append(_table(attributes, values))
        elif channel == "prose":
            parts += [_paragraph(subject, attributes, values[subject], dice) for subject in subjects]
        else:
            talks += [
                (_say(dice.choice(_ASKED), subject, attribute.name, value),
                 _say(dice.choice(_SAID), subject, attribute.name, value))
                for subject in subjects
                for attribute, value in zip(attributes, values[subject], strict=True)
            ]  # fmt: skip
    talks += _small_talk(40, dice)
    return Volume(number, tuple(truths), "\n\n".join(parts) + "\n", tuple(talks))


def _table(attributes: Sequence[_Attribute], values: dict[str, list[str]]) -> str:
    header = ["Name", *(_raised(attribute.name) for attribute in attributes)]
    rows = [header, ["---"] * len(header), *([_raised(subject), *row] for subject, row in values.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _paragraph(subject: str, attributes: Sequence[_Attribute], values: Sequence[str], dice: _Dice) -> str:
    told = [
        _say(dice.choice(attribute.prose), subject, attribute.name, value)
        for attribute, value in zip(attributes, values, strict=True)
    ]
    dice.shuffle(told)
    told.insert(dice.randint(1, len(told)), dice.choice(_FILLERS))
    return " ".join(told)


def _small_talk(count: int, dice: _Dice) -> list[tuple[str, str]]:
    talks = []
    for _ in range(count):
        asked, replies = dice.choice(_SMALL)
        fill = {key: dice.choice(words) for key, words in _FILL.items()}
        fill |= {key.upper(): _raised(word) for key, word in fill.items()}
        talks.append((_raised(asked.format(**fill)), _raised(dice.choice(replies).format(**fill))))
    return list(dict.fromkeys(talks))


def _say(form: str, subject: str, attribute: str, value: str) -> str:
    return _raised(form.format(s=subject, S=_raised(subject), a=attribute, v=value, V=_raised(value)))


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:]
