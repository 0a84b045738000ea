"""The page and the picture of what `heredity.py` measured.

    python benchmarks/heredity_report.py heredity --out benchmarks/heredity_2026-11-23.md

Reads every *.jsonl in the folders. The picture lies beside the page, as .svg. `--keep DIR` writes what was measured
there, without the single answers: arms that ran on different days are put on one page from such files.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.heredity_general import QUESTIONS

Line = dict[str, Any]
COLUMNS = (
    ("generation", "gen", "{}"), ("kind", "verdict", "{}"), ("exact", "exact, all", "{:.1%}"),
    ("exact_worst", "worst volume", "{:.1%}"), ("exact_new", "newest", "{:.1%}"),
    ("exact_unknown", "unknown to the founder", "{:.1%}"), ("cloze", "cloze, all", "{:.1%}"),
    ("cloze_any_case", "cloze, any case", "{:.1%}"),
    ("reversed", "reversed", "{:.1%}"), ("two_facts", "two facts", "{:.1%}"),
    ("merge_scale", "merged", "{:.0%}"), ("style", "drifts", "{}"),
    ("style_distance", "style to its limit", "{:.2f}"), ("general_bits_per_byte", "general bits/byte", "{:.3f}"),
    ("common_sense", "common sense", "{:.1%}"), ("common_sense_beside", "founder's 95%", "{}"),
    ("tokens", "tokens", "{:,}"), ("replayed", "replayed", "{:.0%}"),
    ("seconds_training", "training s", "{:.0f}"), ("seconds_exams", "exams s", "{:.0f}"),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=Path, metavar="DIR")
    given = parser.parse_args()
    paths = sorted(path for folder in given.folders for path in folder.glob("*.jsonl"))
    runs = {path.stem: read(path) for path in paths}
    if given.keep:
        given.keep.mkdir(exist_ok=True)
        for name, lines in runs.items():
            slim = ({key: value for key, value in line.items() if key != "answers"} for line in lines)
            (given.keep / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in slim))
    given.out.write_text("\n".join(page(runs, given.out.with_suffix(".svg").name)) + "\n", encoding="utf-8")
    draw(runs, given.out.with_suffix(".svg"))
    return 0


def read(path: Path) -> list[Line]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        scores = line.get("scores") or {}
        if scores.get("style_probes"):
            line["style"] = f"{scores['style_drifts']} of {scores['style_probes']}"
        line.setdefault("kind", "founded")
    known = {
        _asked(answer)
        for line in lines
        if not line["generation"]
        for answer in line.get("answers", ())
        if answer["exact"]
    }
    for line in lines:
        if new := [answer["exact"] for answer in line.get("answers", ()) if _asked(answer) not in known]:
            line["exact_unknown"] = statistics.mean(new)
    lines.sort(key=lambda line: int(line["generation"]))
    beside_the_founder(lines)
    return lines


def beside_the_founder(lines: Sequence[Line]) -> None:
    """Note the 95% interval of the founder's common sense with the founder, and with each descendant where its own
    share lies. Lines from before the number of questions was recorded come from so many as were asked then."""
    founder = next((line for line in lines if line["generation"] == 0 and line.get("common_sense") is not None), None)
    if founder is None:
        return
    low, high = wilson(founder["common_sense"], founder.get("common_sense_asked", QUESTIONS))
    founder["common_sense_beside"] = f"{low:.1%} to {high:.1%}"
    for line in lines:
        if line["generation"] and (share := line.get("common_sense")) is not None:
            line["common_sense_beside"] = "below" if share < low else "above" if share > high else "within"


def wilson(share: float, asked: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share of so many independent questions."""
    z = statistics.NormalDist().inv_cdf(0.975)
    middle = (share + z * z / (2 * asked)) / (1 + z * z / asked)
    reach = z / (1 + z * z / asked) * math.sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked))
    return middle - reach, middle + reach


def _asked(answer: dict[str, Any]) -> tuple[str, str]:
    return answer["subject"], answer["attribute"]


def page(runs: dict[str, list[Line]], picture: str) -> list[str]:
    told = [f"# Heredity, {date.today().isoformat()}", "", f"![recall over the generations]({picture})", ""]
    told += ["Exact: the greedy answer to an unseen wording begins with the right value, over all volumes so far.", ""]
    told += [
        "Cloze: which of six values of one attribute the model finds likeliest per byte after the same wording; in any "
        "case: each value also with a capital first letter, as the clerk says it who begins with it.", "",
    ]  # fmt: skip
    told += [
        f"Common sense: the share of {QUESTIONS} questions. Founder's 95% is Wilson's interval of the founder's share, "
        "and where each descendant's share lies to it; both answer the same questions, which it makes no use of.", "",
    ]  # fmt: skip
    told += summary(runs)
    for name, lines in runs.items():
        told += ["", f"## {name}", ""]
        settings = next((line["settings"] for line in lines if line.get("settings")), [])
        told += [f"`{' '.join(settings)}`", ""] if settings else []
        told += table(
            [title for _, title, _ in COLUMNS], [[cell(line, key, form) for key, _, form in COLUMNS] for line in lines]
        )
    return told


def summary(runs: dict[str, list[Line]]) -> list[str]:
    rows = []
    for name, lines in runs.items():
        last, grown = lines[-1], [line for line in lines if line.get("tokens")]
        base = next((line.get("general_bits_per_byte") for line in lines if line["generation"] == 0), None)
        general = [line["general_bits_per_byte"] for line in lines if line.get("general_bits_per_byte")]
        news = [line["exact_new"] for line in grown if line.get("exact_new") is not None]
        rows.append([
            name, str(last["generation"]), cell(last, "exact", "{:.1%}"), cell(last, "exact_worst", "{:.1%}"),
            cell(last, "cloze", "{:.1%}"), cell(last, "cloze_any_case", "{:.1%}"),
            f"{statistics.mean(news):.1%}" if news else "",
            f"{general[-1] / base - 1:+.1%}" if base and len(general) > 1 else "",
            f"{sum(line['kind'] == 'promoted' for line in grown)} of {len(grown)}",
            f"{sum(line['tokens'] for line in grown):,}", f"{sum(line['seconds_training'] for line in grown) / 60:.0f}",
            share_of_exams(grown),
        ])  # fmt: skip
    head = "run|gen|exact, all|worst volume|cloze, all|cloze, any case|newest, mean|general bits/byte to founder|"
    return table([*head.split("|")[:-1], "promoted", "tokens", "training min", "exams / cycle"], rows)


def share_of_exams(grown: Sequence[Line]) -> str:
    total = sum(line["seconds_total"] for line in grown)
    return f"{sum(line['seconds_exams'] for line in grown) / total:.0%}" if total else ""


def cell(line: Line, key: str, form: str) -> str:
    value = line.get(key)
    return "" if value is None else form.format(value)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def draw(runs: dict[str, list[Line]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "heredity"
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    for name, lines in runs.items():
        measured = [line for line in lines if line.get("exact") is not None]
        places = [line["generation"] for line in measured]
        joined = len(measured) == places[-1] - places[0] + 1  # else what was founded anew for each would look grown
        for axes, key in ((left, "exact"), (right, "exact_worst")):
            shares = [line[key] for line in measured]
            axes.plot(places, shares, marker="o", ms=3 if joined else 6, linestyle="-" if joined else "", label=name)
    for axes, title in ((left, "all volumes"), (right, "worst volume")):
        axes.set(title=title, xlabel="generation", ylim=(0, 1.02))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    left.set_ylabel("exact answers to unseen wordings")
    right.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
