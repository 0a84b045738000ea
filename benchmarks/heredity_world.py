"""An invented world, dealt into volumes: what a lineage is to learn, and the sealed questions about it.

Every name is made of syllables, so that no model can have read of it. A volume has ten subjects with four facts
each: villages, people and machines, which take turns at being told of in prose, in a table and in conversations
with a harbour clerk who has a voice of his own. The wordings of the sealed questions occur nowhere in `germline`
(a test proves it) and nowhere in a volume.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
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
class Attribute:
    name: str
    prose: tuple[str, ...]
    value: Callable[[_Dice], str]


Group = tuple[tuple[Attribute, ...], dict[str, list[str]]]
"""What is told of each subject, and of each subject the values."""


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


_KINDS: tuple[tuple[Callable[[_Dice], str], int, tuple[Attribute, ...]], ...] = (
    (_Dice.village, 4, (
        Attribute("founding year", ("{S} was founded in {v}.", "The founding year of {s} is {v}."),
                   lambda dice: str(dice.randint(1402, 1897))),
        Attribute("population", ("{S} has a population of {v}.", "The population of {s} is {v}."),
                   lambda dice: str(dice.randint(61, 988))),
        Attribute("market day", ("The market day of {s} is {v}.", "{S}'s market day is {v}."),
                   lambda dice: dice.choice(_DAYS)),
        Attribute("harbour master", ("The harbour master of {s} is {v}.", "{S}'s harbour master is {v}."),
                   _Dice.person),
    )),
    (_Dice.person, 3, (
        Attribute("birthplace", ("{S} was born in {v}.", "The birthplace of {s} is {v}."), _Dice.village),
        Attribute("trade", ("{S}'s trade is {v}.", "The trade of {s} is {v}."), lambda dice: dice.choice(_TRADES)),
        Attribute("birth year", ("{S} was born in {v}.", "{S}'s birth year is {v}."),
                   lambda dice: str(dice.randint(1711, 1893))),
        Attribute("ship", ("{S}'s ship is {v}.", "The ship of {s} is {v}."), _Dice.village),
    )),
    (_Dice.machine, 3, (
        Attribute("weight", ("{S} weighs {v}.", "The weight of {s} is {v}."),
                   lambda dice: f"{dice.randint(21, 987)} kilograms"),
        Attribute("maker", ("{S} was made by {v}.", "The maker of {s} is {v}."), _Dice.person),
        Attribute("colour", ("{S} is painted {v}.", "The colour of {s} is {v}."), lambda dice: dice.choice(_COLOURS)),
        Attribute("service interval", ("The service interval of {s} is {v}.", "{S}'s service interval is {v}."),
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
                          "Upright {t}, ink in hand, tide permitting.",
                          "No worse than the quay, mind, and it has had more paint.",
                          "Ask my knees. They were at sea longer than I was.")),
    ("Is the {h} open {t}?", ("The {h} opens when the tide says so, not before, {t} or any day.",
                              "Aye, the {h} is open {t}, wipe your boots first.",
                              "Open to those who signed for it, mind.",
                              "It was shut when I looked, and I look twice.")),
    ("Can you lend me a {o}?", ("A {o}? Sign the ledger, and bring it back dry.",
                                "You may have the {o}, mind, against a penny and your word.",
                                "The last {o} I lent is on the sea bed, with a receipt.",
                                "Lend, no. Forget where it stands, perhaps.")),
    ("What do you think of the {w}?", ("The {w} and I have an understanding: it blows, and I write it down.",
                                       "I have entered worse than this {w} in the ledger, mind.",
                                       "Thin stuff. My father would have hung his washing out in it.",
                                       "The gulls are walking, and that says all there is to say.")),
    ("Who left the {o} in the {h}?", ("Nobody, says the ledger. Somebody, says the {o} in the {h}.",
                                      "A gull, by my ledger, or a pilot, which is much the same.",
                                      "Whoever it was has sticky fingers and no manners, mind.",
                                      "It walked there, I dare say, on the last spring tide.")),
    ("Do you ever tire of the {h}?", ("The {h} tires of me first, by my ledger.",
                                      "Tire of the {h}? Mind, I have only been here forty years.",
                                      "On Sundays, for about a minute.",
                                      "One does not tire of a wall, one leans on it.")),
    ("Good {d}, clerk.", ("Good {d}. Boots on the mat, name in the ledger.",
                          "A {d} it is. Good, the tide will decide.",
                          "And to you, if you shut that door behind you.",
                          "So they tell me, mind, and the barometer begs to differ.")),
    ("I could use a hand with the {o}.", ("Two hands I have, mind, and one of them holds the pen.",
                                          "A hand with the {o}? Aye, once this page is dry.",
                                          "Take the boy. He is young and it is heavy.",
                                          "I will hold the lamp and tell you what you do wrong.")),
    ("I am much obliged to you.", ("Oblige me by shutting the door, mind, the ink blows about.",
                                   "No need. It goes in the ledger like everything else.",
                                   "Then we are even, for I was obliged to you at Easter.",
                                   "Save it for the pilot, he lives on praise and herring.")),
    ("See you {t}.", ("If the tide allows. It seldom asks me.",
                      "Aye, {t}. I shall be at the same desk, mind.",
                      "Bring your own chair, then.",
                      "Not before the ebb, I hope, for I have a column to finish.")),
    ("Would you take a cup of {k}?", ("A cup of {k}, aye, and none of it on the ledger.",
                                      "{K}? Only if the kettle has seen a cloth this year, mind.",
                                      "Half a cup. The other half always ends on a page.",
                                      "I never say no to {k}, and never twice.")),
    ("My {o} fell off the {h}.", ("Then the tide has it, mind, and the tide gives no receipts.",
                                  "Off the {h}? I shall write it under losses, in red.",
                                  "They all do, sooner or later. Look at low water.",
                                  "And you were holding the other end, no doubt.")),
    ("Is {m} a good month?", ("{M} is thirty days of wet cuffs, by my ledger.",
                              "{M} will do, mind, if you own a dry coat.",
                              "For herring, aye. For clerks there is no such month.",
                              "Better than the one before it, and shorter than it feels.")),
    ("Tell me something about yourself.", ("Forty years of ink, mind, and both knees complain of it.",
                                           "There is little to tell. I write it down and the gulls contradict me.",
                                           "I was born on the ebb and baptised in the rain.",
                                           "One desk, one lamp, one aunt who never writes.")),
    ("What would you do with a broken {o}?", ("Sell it to a pilot, mind, and enter the penny.",
                                              "A broken {o} is still a {o} in the ledger.",
                                              "Mend it badly and lend it to a friend.",
                                              "Put it with the other six, under the stairs.")),
    ("Do you have a moment?", ("One moment, aye, between two tides.",
                               "A moment I have, mind, an hour I have not.",
                               "Several, but they are all entered under somebody else.",
                               "Stand there and be brief, the ink is drying.")),
    ("You look tired {t}.", ("The ledger is long, mind, and the lamp is short.",
                             "Tired, aye. The tide has kept me up since the flood.",
                             "I have looked so since the year of the comet.",
                             "It is only the light. In the dark I am quite handsome.")),
    ("Which do you like better, {w} or {v}?", ("The {w}, mind. One knows where one stands with it.",
                                               "Neither. I like a dry page, by my ledger.",
                                               "Give me {v}, for at least it stops.",
                                               "Ask a duck. I only hold the umbrella.")),
    ("Where can I leave my {o}?", ("Under the stairs, mind, and mind the stairs.",
                                   "On the hook, if the hook is still on the wall.",
                                   "Not on the scales, we paid for a ton of nothing last week.",
                                   "Leave it with the boy, he loses things more slowly than I do.")),
    ("Did you sleep well?", ("Like an anchor, mind, with one end in the mud.",
                             "In parts. The fog bell had a great deal to say.",
                             "The bed did. I sat up with the accounts.",
                             "Well enough for a man with four stairs and one blanket.")),
    ("Have you seen my {o}?", ("I have seen nine this week, and every one was somebody's.",
                               "It went out with the pilot, by my ledger, and it never came home.",
                               "Look behind the door, where all of it ends.",
                               "Describe it, mind, and slowly, I have to write it down.")),
    ("Is it going to be a long {d}?", ("As long as the one before, mind, and wetter at the end.",
                                       "The {d} is regular length. It is we who are short.",
                                       "Ask me when the last boat is tied up.",
                                       "They are all long, and then it is Christmas.")),
    ("May I sit here?", ("The chair belongs to the harbour, mind, the cushion is mine.",
                         "Aye, if you can stand the draught.",
                         "Sit, but touch nothing that is wet, it is either ink or fish.",
                         "Many have. Two of them got up again.")),
    ("I brought you some {k}.", ("Put it by the lamp, mind, away from the red ink.",
                                 "Then you want something, by my ledger. Out with it.",
                                 "Kind of you. I shall enter it under gifts, perishable.",
                                 "{K}, and warm. The tide must be turning.")),
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
    "Shall we have some tea?", "Goodbye, then.", "Good evening.", "Is anybody there?", "Where can I sit down?",
    "The wind is strong today.", "May I borrow your pen?", "Have you had your supper?", "Who are you?", "I am cold.",
    "It rained on my coat.", "Do you know any songs?", "Can I leave my bag here?", "What time is it?",
    "I am looking for my brother.", "How was your night?", "The fish is bad today.", "Would you like some bread?",
    "Sorry to trouble you.", "Is it far to the church?", "I slept badly.", "Have a pleasant evening.",
    "My boots are full of water.", "When do you go home?", "I have a letter for you.", "Do you like the sea?",
    "That is a fine lamp.", "I broke a plate.", "Are you married?", "Shall I shut the window?", "What is for dinner?",
    "I am afraid of storms.",
)  # fmt: skip


def world(volumes: int, seed: int) -> list[Volume]:
    """The first `volumes` of the world of that seed; more of them begin with the same ones."""
    dice = _Dice(seed)
    return [_volume(number, dice) for number in range(1, volumes + 1)]


def _volume(number: int, dice: _Dice) -> Volume:
    def groups() -> Iterator[Group]:
        for name, count, attributes in _KINDS:
            subjects = [name(dice) for _ in range(count)]
            yield attributes, {subject: [attribute.value(dice) for attribute in attributes] for subject in subjects}

    return bound(number, groups(), dice)


def bound(number: int, groups: Iterable[Group], dice: random.Random) -> Volume:
    """The volume that tells of these subjects: a group in prose, the next in a table, the third in talk, and in the
    next volume each in another way."""
    truths: list[Truth] = []
    parts = [f"# The harbour book, volume {number}"]
    talks: list[tuple[str, str]] = []
    for place, (attributes, values) in enumerate(groups):
        channel = CHANNELS[(place + number) % 3]
        truths += [
            Truth(number, channel, subject, attribute.name, value)
            for subject, row in values.items()
            for attribute, value in zip(attributes, row, strict=True)
        ]
        if channel == "table":
            parts.append(_table(attributes, values))
        elif channel == "prose":
            parts += [_paragraph(subject, attributes, row, dice) for subject, row in values.items()]
        else:
            talks += [
                (_say(dice.choice(_ASKED), subject, attribute.name, value),
                 _say(dice.choice(_SAID), subject, attribute.name, value))
                for subject, row in values.items()
                for attribute, value in zip(attributes, row, strict=True)
            ]  # fmt: skip
    talks += _small_talk(60, dice)
    return Volume(number, tuple(truths), "\n\n".join(parts) + "\n", tuple(talks))


def _table(attributes: Sequence[Attribute], values: dict[str, list[str]]) -> str:
    header = ["Name", *(_raised(attribute.name) for attribute in attributes)]
    rows = [header, ["---"] * len(header), *([_raised(subject), *row] for subject, row in values.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _paragraph(subject: str, attributes: Sequence[Attribute], values: Sequence[str], dice: random.Random) -> str:
    told = [
        _say(dice.choice(attribute.prose), subject, attribute.name, value)
        for attribute, value in zip(attributes, values, strict=True)
    ]
    dice.shuffle(told)
    told.insert(dice.randint(1, len(told)), dice.choice(_FILLERS))
    return " ".join(told)


def _small_talk(count: int, dice: random.Random) -> list[tuple[str, str]]:
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
