"""`germline eval`"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from germline.cli import options, output, progress
from germline.lineage import SCORECARD, Generation, Lineage
from germline.marks import Scorecard, scorecard_from
from germline.records import plain
from germline.report import exams
from germline.store.home import Home


@click.command("eval", epilog=options.examples("germline eval", "germline eval --sealed", "germline eval g2 --json"))
@click.argument("name", metavar="[GEN]", default="HEAD")
@click.option("--sealed", is_flag=True, help="Sit the sealed questions instead, by which nothing was ever decided.")
@options.home
@options.as_json
def command(name: str, home: Home, sealed: bool, as_json: bool) -> None:
    """Sit all exams again, its own and its ancestors'.

    The marks are compared with those that its birth recorded. Nothing is written. GEN is HEAD if left out.
    """
    lineage = Lineage.open(home)
    meant = lineage.resolve(name)
    if sealed:
        _sealed(lineage, meant, as_json)
        return
    from germline.examination import examine

    with progress.report(as_json=False) as on_event:
        card = examine(lineage, meant, on_event)
    examined = _document(lineage, meant, card)
    if as_json:
        output.say_json(examined)
    else:
        output.say(exams.lines(examined["exams"]))
        output.say(_compared(examined))


def _sealed(lineage: Lineage, meant: Generation, as_json: bool) -> None:
    from germline.examination import sit_sealed

    with progress.report(as_json=False) as on_event:
        scores = sit_sealed(lineage, meant, on_event)
    names = exams.authors(lineage, meant)
    found = [{"exam": exam, "written_by": names.get(exam, exam[7:15]), "score": plain(score)}
             for exam, score in scores.items()]  # fmt: skip
    if as_json:
        output.say_json({"id": meant.name, "generation": meant.digest, "sealed": found})
    else:
        output.say(exams.sealed_lines(found))


def _document(lineage: Lineage, meant: Generation, card: Scorecard) -> dict[str, Any]:
    names = exams.authors(lineage, meant)
    recorded = None
    if SCORECARD in meant.birth.files:
        recorded = scorecard_from(lineage.json(meant, SCORECARD))
    return {
        "id": meant.name, "generation": meant.digest, "scores": card.summary(),
        "exams": [
            exams.sitting(exam, names.get(exam, exam[7:15]), meant.name, marks)
            for exam, marks in card.marks.items()
        ],
        "as_recorded": None if recorded is None else recorded == card,
        "recorded_scores": None if recorded is None else recorded.summary(),
        "answered_otherwise": None if recorded is None else _answered_otherwise(recorded, card),
    }  # fmt: skip


def _answered_otherwise(recorded: Scorecard, card: Scorecard) -> int:
    """How many questions, tone probes and cards were answered otherwise, rightly or not; all that only one of the two
    was asked among them, and facts that would be said in other wordings."""
    pairs = [(recorded.marks[exam], marks) for exam, marks in card.marks.items() if exam in recorded.marks]
    told = [(Counter(map(_answer, then.answers)), Counter(map(_answer, now.answers))) for then, now in pairs]
    said = sum(now.said.get(unit) != share for then, now in pairs for unit, share in then.said.items())
    return said + sum(max((then - now).total(), (now - then).total()) for then, now in told)


def _answer(answer: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(answer.get(key) for key in ("paper", "id", "prompt", "chosen", "right"))


def _compared(examined: dict[str, Any]) -> list[str]:
    if examined["as_recorded"] is None:
        return []
    if examined["as_recorded"]:
        return ["", "the same as its birth recorded, to the last digit"]
    changed = [
        f"{name} was {before} and is {examined['scores'][name]}"
        for name, before in examined["recorded_scores"].items()
        if before != examined["scores"][name]
    ]
    if otherwise := examined["answered_otherwise"]:
        changed.append(f"questions, tone probes and cards answered otherwise than its birth recorded: {otherwise}")
    return ["", *(changed or ["the same answers as its birth recorded; the last digits differ"])]
