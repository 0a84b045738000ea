"""Plain columns and short numbers. No box, no colour, no wrapping: the same on a terminal and in a pipe."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MISSING = "-"


@dataclass(frozen=True, slots=True)
class Symbols:
    """The few signs that not every terminal can show. Words always stand beside them."""

    passed: str
    failed: str
    bar: str

    @property
    def signs(self) -> tuple[str, ...]:
        return self.passed, self.failed, self.bar

    def mark(self, passed: bool, undecided: bool = False) -> str:
        if undecided:
            return "? unclear"
        return f"{self.passed} passed" if passed else f"{self.failed} failed"


UNICODE = Symbols("✓", "✗", "█")
ASCII = Symbols("+", "x", "#")


def columns(rows: Sequence[Sequence[str] | str], *, right: Sequence[int] = (), gap: int = 2) -> list[str]:
    """`rows` (the header first, if there is one) as aligned lines; the columns `right` are aligned right.

    A row that is one string is a line of its own, and widens nothing.
    """
    cells = [row for row in rows if not isinstance(row, str)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return (" " * gap).join(padded).rstrip()

    return [row if isinstance(row, str) else line(row) for row in rows]


def indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}".rstrip() for line in lines]


def share(value: float | None) -> str:
    """0.969 for a share of one; `-` where there is none."""
    return MISSING if value is None or math.isnan(value) else f"{value:.3f}"


def decimals(value: float | None) -> str:
    """Two decimals: losses, bits."""
    return MISSING if value is None else f"{value:.2f}"


def percent(value: float | None) -> str:
    """A small ratio as a percentage of at most five characters: `0.12%`, `12%`."""
    if value is None:
        return MISSING
    return f"{value:.2%}" if value < 0.0995 else f"{value:.0%}"


def short(count: int | None) -> str:
    """A count in at most four characters: 9999, 12k, 34M."""
    if count is None:
        return MISSING
    for unit, size in (("", 1), ("k", 1_000), ("M", 1_000_000)):
        if count < 10_000 * size:
            return f"{count // size}{unit}"
    return f"{count // 1_000_000_000}G"


def of(part: int | None, whole: int | None) -> str:
    """`31/32`; `-` where nothing was asked."""
    return f"{part}/{whole}" if whole and part is not None else MISSING


def quoted(text: object) -> str:
    """A text on one line, whatever is in it: quoted as in JSON, so that no control character gets through."""
    return escaped(json.dumps(text, ensure_ascii=False))


def escaped(document: str) -> str:
    """JSON without the control characters that it may hold as they are: DEL, and C1, which a terminal obeys too."""
    return re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", document)


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def seconds(count: float) -> str:
    """A duration for people: `12.3 s`, `4 min 05 s`, `2 h 07 min`."""
    if count < 60:
        return f"{count:.1f} s"
    minutes, rest = divmod(round(count), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def checks(verdict: Mapping[str, Any], symbols: Symbols) -> list[str]:
    """The checks of a verdict (as in the ledger), one a line: mark, name, value, limit, reason."""
    return columns(
        [
            (
                symbols.mark(check["passed"], check.get("undecided", False)), check["name"],
                number(check["value"]), f"limit {number(check['limit'])}", check["reason"],
            )
            for check in verdict["checks"]
        ],
        right=(2,),
    )  # fmt: skip


def paragraph(name: str, verdict: Mapping[str, Any]) -> str:
    """A verdict (as in the ledger) as one would tell it: what decided it, and how much else held."""
    checks = verdict["checks"]
    failed = [check["reason"] for check in checks if not check["passed"] and not check.get("undecided")]
    unclear = [check["reason"] for check in checks if check.get("undecided")]
    held = [check["reason"] for check in checks if check["passed"]]
    match verdict["outcome"]:
        case "promoted":
            return f"{name} passed every check: {_listed(held)}."
        case "refused":
            others = f"{len(held)} of the other {len(checks) - len(failed)}" if unclear else f"The other {len(held)}"
            rest = f" {others} checks held." if held else ""
            return (
                f"{name} is refused, because it fails {len(failed)} of {len(checks)} checks: {_listed(failed)}.{rest}"
            )
        case _:
            rest = f" The other {len(held)} checks held." if held else ""
            return f"{name} cannot be judged, and HEAD stays where it is: {_listed(failed + unclear)}.{rest}"


def _listed(reasons: Sequence[str]) -> str:
    return "; ".join(reasons)


def number(value: float | None) -> str:
    """A check's value or limit, four digits of it."""
    return "no number" if value is None or math.isnan(value) else f"{value:.4g}"
