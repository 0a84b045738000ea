"""Texts to compare tokenizers and models on: from every corner of Unicode, the same every time."""

from __future__ import annotations

import random
import unicodedata

SCRIPTS = [
    (0x20, 0x7E), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x58F),
    (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xB80, 0xBFF), (0xE00, 0xE7F),
    (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1780, 0x17FF),
    (0x2000, 0x206F), (0x2070, 0x20CF), (0x2100, 0x218F), (0x2190, 0x23FF), (0x2460, 0x24FF),
    (0x2600, 0x27BF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
    (0xFF00, 0xFFEF), (0x10000, 0x100FF), (0x1D400, 0x1D7FF), (0x1F300, 0x1F6FF),
    (0x1F900, 0x1F9FF), (0x20000, 0x200FF),
]  # fmt: skip
WORDS = [
    "the", "of", "and", "lighthouse", "Gull", "Rock", "keeper's", "they'll", "I'M", "don't",
    "we've", "HE'S", "return", "self.value", "def", "print(", ")", "=>", "!=", "::", "__init__",
    "123", "4567890", "3.14", "½", "²", "Ⅳ", "٣٤", "五", "naïve", "Straße", "Łódź", "привет",
    "мир", "こんにちは", "世界", "안녕", "שלום", "مرحبا", "नमस्ते", "สวัสดี", "ሰላም", "😀", "👨‍👩‍👧", "🇩🇪",
    "👍🏽", "e\u0301", "<|im_start|>", "<|endoftext|>", "<|im_end|>", "<s>", "</s>", "<unk>",
    "<0x0A>", "<tool>", "<<<", "▁", "'", "''", "'s", "'S", "'Re",
]  # fmt: skip
SPACES = [*"   \n\t\x0b\x85\u00a0\u2003\u3000", "", "  ", "   ", "\n\n", "\r\n", "\t\t  ", " \n "]
SIGNS = "()[]{};:+-*/=<>|&%$#@!?~^`\\\"'.,_"


def strings(count: int, seed: int, *, pieces: int = 12) -> list[str]:
    """`count` different kinds of text: one script, words, numbers, any characters, code; all reproducible."""
    chance = random.Random(seed)
    found = ["", " ", "\n", "a", " a", "a "]
    while len(found) < count:
        kind, script = chance.randrange(5), SCRIPTS[len(found) % len(SCRIPTS)]
        text = ""
        for _ in range(chance.randrange(1, pieces)):
            text += _piece(chance, kind, script) + chance.choice(SPACES)
        # Libraries know different versions of Unicode: what is not assigned may be classed differently.
        found.append("".join(letter for letter in text if unicodedata.category(letter) not in ("Cn", "Cs")))
    return found[:count]


def _piece(chance: random.Random, kind: int, script: tuple[int, int]) -> str:
    if kind == 0:
        return "".join(chr(chance.randint(*script)) for _ in range(chance.randrange(1, 6)))
    if kind == 1:
        return chance.choice(WORDS)
    if kind == 2:
        return str(chance.randrange(10 ** chance.randrange(1, 12)))
    if kind == 3:
        return chr(chance.randint(*chance.choice(SCRIPTS)))
    return chance.choice([*WORDS[:20], chance.choice(SIGNS) * chance.randrange(1, 5)])
