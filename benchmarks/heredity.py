"""Ten generations on an invented world: does a lineage learn all that is new and forget nothing old?

    python benchmarks/heredity.py --arm germline naive [--generations 10] [--seeds 0 1 2] [--work DIR]
    python benchmarks/heredity.py --world countries         real facts instead of invented ones
    python benchmarks/heredity.py --arm germline --set curriculum.replay=0.1     an ablation, named by its settings

Each arm is a lineage of its own that `evolve` grows on one volume of `heredity_world` a generation; what tells the
arms apart is their plan. After each generation HEAD is asked sealed questions about every volume so far, in wordings
that occur neither in germline nor in the volumes. One JSON line a generation goes to DIR/<arm>-<seed>.jsonl; a run
that is cut goes on where it stopped. `heredity_report.py` makes the page and the picture of these files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import heredity_general
from benchmarks.heredity_countries import countries
from benchmarks.heredity_world import PROBES, REVERSED, SEALED, TWO_FACTS, Truth, Volume, world

from germline import evolve, founding
from germline.checkout import weights
from germline.curriculum.render import PROMPT_END
from germline.evals.choice import choose
from germline.evals.score import Question, speak
from germline.evals.suite import Examinee
from germline.forge.machine import arithmetic, machine
from germline.lineage import TRAIN, Generation, Lineage
from germline.marks import Check, Verdict
from germline.records import Event
from germline.settings import Plan, parse_plan
from germline.speaker import examinee
from germline.store import ledger
from germline.store.entry import Entry
from germline.store.home import Home

OPEN = (
    "gate.recall=0",
    "gate.margin=1",
    "gate.alarm=0",
    "gate.old_text=100",
    "gate.generalization=0",
    "gate.style_drifts=10",
    "gate.style_distance=100",
    "gate.weight_change=0",
)
"""Forgetting, drift and a voice that is lost refuse nothing. Two checks still do: a child that learned nothing
(`learned`) and one that breaks a law (`laws broken`; there is none in this plan). So do marks that are no number, and
a delta that nothing can be asked about is inconclusive."""
ARMS: dict[str, tuple[str, ...]] = {
    "germline": (),
    "naive": ("curriculum.replay=0", "training.anchor=0", "training.noise=0", "training.merge_scales=[1.0]", *OPEN),
    "no-replay": ("curriculum.replay=0",),
    "no-gate": OPEN,
    "rebase": ("curriculum.replay=0", *OPEN),
}
"""`naive` is the loop as it is usually written: load the parent, train on what is new, save all of it. `rebase` founds
a lineage for every generation and teaches it all volumes at once: what could be reached, at a cost that grows. It has
nothing to replay, and takes no more epochs in place of it: each fact is read as often as in its lesson elsewhere."""
WORLDS = {"invented": world, "countries": countries}
ANSWER_TOKENS = 24


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", nargs="+", choices=sorted(ARMS), default=["germline", "naive"])
    parser.add_argument("--world", choices=sorted(WORLDS), default="invented")
    parser.add_argument("--generations", type=int, default=10)
    parser.add_argument("--rebase-at", type=int, nargs="+", default=[0, 10], help="generations that rebase is run for")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.KEY=VALUE")
    parser.add_argument("--label", default="", help="name of an ablation, in place of its settings")
    parser.add_argument("--general-at", type=int, nargs="*", default=[0, 1, 2, 3, 5, 10, 15, 20])
    parser.add_argument("--work", type=Path, default=Path("heredity"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    os.environ["GERMLINE_CONFIG"] = str((given.work / "config").resolve())
    for seed in given.seeds:
        for name in given.arm:
            label = given.label or "_".join(re.sub(r".*\.", "", setting) for setting in given.settings)
            parts = [*([given.world] if given.world != "invented" else []), name, *([label] if label else [])]
            arm = Arm("_".join(parts) + f"-{seed}", given.work, seed, (*ARMS[name], *given.settings), given.world)
            stops = given.rebase_at if name == "rebase" else range(given.generations + 1)
            for number in stops:
                arm.reach(number, last=max(stops), rebase=name == "rebase", general=number in given.general_at)
    return 0


@dataclass(frozen=True, slots=True)
class Arm:
    """One lineage, or for rebase one for each generation, and the file its measurements go to."""

    name: str
    work: Path
    seed: int
    settings: tuple[str, ...]
    world: str

    @property
    def results(self) -> Path:
        return self.work / f"{self.name}.jsonl"

    def reach(self, number: int, *, last: int, rebase: bool, general: bool) -> None:
        """Grow generation `number` and measure what HEAD knows after it, unless that is done. The founder is asked
        about everything up to the `last`."""
        done = [json.loads(line) for line in self.results.read_text().splitlines()] if self.results.exists() else []
        if any(line["generation"] == number for line in done):
            return
        volumes = WORLDS[self.world](number or last, self.seed)
        lineage = self._lineage(f"{self.name}-{number}" if rebase else self.name)
        line: dict[str, Any] = {"arm": self.name, "generation": number, "settings": self.settings}
        lineage, birth = self._born(lineage, min(number, 1) if rebase else number, volumes)
        line |= told(birth) if number else {}
        head = lineage.generation(ledger.head(lineage.entries[: birth.sequence + 1]))
        line |= measure(lineage, head, volumes, self.seed, general=general)
        with self.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        numbers = {key: value for key, value in line.items() if isinstance(value, int | float)}
        print(self.name, json.dumps(numbers), flush=True)

    def _lineage(self, name: str) -> Lineage:
        root = self.work / name
        if (root / "ledger" / "000000.json").exists():
            return Lineage.open(Home.open(root))
        return founding.found(root, "demo", name="heredity", on_event=lambda event: None)

    def _born(self, lineage: Lineage, number: int, volumes: Sequence[Volume]) -> tuple[Lineage, Entry]:
        """The lineage with its generation of that number, promoted or not, and the entry of its birth. One that a cut
        left born and not measured is not grown again."""
        if lineage.next_number < number:
            raise SystemExit(f"{self.name}: g{lineage.next_number} is missing, though {self.results} tells of it")
        if lineage.next_number == number:
            self._grow(lineage, volumes)
            lineage = Lineage.open(lineage.home)
        return lineage, next(entry for entry in lineage.entries if entry.is_birth and entry.number == number)

    def _grow(self, lineage: Lineage, volumes: Sequence[Volume]) -> None:
        folders = []
        for volume in volumes:
            folders.append((self.work / f"{self.world}-{self.seed}" / f"{volume.number:02}").resolve())
            if not folders[-1].exists():
                volume.write(folders[-1])
        (self.work / "probes.txt").write_text("\n".join(PROBES) + "\n")
        plan = plan_of(self.settings, tuple(map(str, folders)), probes=str((self.work / "probes.txt").resolve()))
        evolve.age_up(lineage.home, plan, _progress)


def told(birth: Entry) -> dict[str, Any]:
    """What the ledger has of a child: its verdict, and what all its candidates together cost."""
    body, checks = birth.body, [Check(**check) for check in birth.body["verdict"]["checks"]]
    training, spent = body["training"], body["spent"]
    return {
        "kind": birth.kind, "reasons": Verdict(outcome=body["verdict"]["outcome"], checks=tuple(checks)).reasons,
        "scores": body["scores"], "merge_scale": body["merge_scale"],
        "style_distance": {check.name: check.value for check in checks}.get("style"),
        "tokens": training.get("tokens_of_all_candidates", training["tokens"]),
        "learned_tokens": training["learned_tokens"],
        "replayed": training["replayed_tokens"] / training["tokens"] if "replayed_tokens" in training else None,
        "seconds_training": spent["seconds_training"],
        "seconds_exams": spent["seconds_exams"], "seconds_total": spent["seconds_total"],
    }  # fmt: skip


def plan_of(settings: Sequence[str], sources: tuple[str, ...], *, probes: str) -> Plan:
    tables = {"data": {"sources": sources}, "exams": {"probes": probes}}
    return parse_plan(tables, source="heredity", overrides=settings)


def _progress(event: Event) -> None:
    if event.kind == "step" and event.data["step"] % 50 and event.data["step"] != event.data["steps"]:
        return
    if event.kind in ("stage", "step", "verdict", "note"):
        print(f"  {time.strftime('%H:%M:%S')} {event.text}", file=sys.stderr, flush=True)


# --- measuring ----------------------------------------------------------------------------------------


def measure(
    lineage: Lineage,
    generation: Generation,
    volumes: Sequence[Volume],
    seed: int,
    *,
    general: bool,
    path: Path | None = None,
) -> dict[str, Any]:
    """What a generation knows of each volume; with a `path`, what these weights would know in its place. Only what
    its lineage was given to train on is asked."""
    on, _ = arithmetic(Plan().training, machine("cpu"))
    model = examinee(lineage, generation, path or weights(lineage, generation), on)
    truths = [truth for volume in volumes for truth in volume.truths]
    asked = _taught(lineage, generation, truths)
    began = time.monotonic()
    found = [asdict(truth) | marks for truth, marks in zip(asked, _ask(model, asked, len(volumes)), strict=True)]
    line: dict[str, Any] = {"asked": len(found), "withheld": len(truths) - len(asked)}
    for mark in ("exact", "stated", "cloze", "cloze_any_case"):
        shares = {volume.number: _share(found, mark, volume.number) for volume in volumes}
        asked_shares = [share for share in shares.values() if share is not None]
        line |= {f"{mark}_of": shares, mark: _mean([item[mark] for item in found])}
        line[f"{mark}_worst"] = min(asked_shares, default=None)
        line[f"{mark}_new"] = shares.get(len(volumes))
    line["reversed"] = _mean(_reversed(model, asked))
    line["two_facts"] = _mean(_two_facts(model, asked))
    if general:
        line |= _general(model)
    return line | {"seconds_measuring": round(time.monotonic() - began, 1), "answers": found}


def _general(model: Examinee) -> dict[str, Any]:
    """With the number of common-sense questions, which says how sure their share is."""
    found = heredity_general.measure(model)
    return found | {"common_sense_asked": len(heredity_general.choices())} if found else found


def _taught(lineage: Lineage, generation: Generation, truths: Sequence[Truth]) -> list[Truth]:
    """Those whose subject and value stand in one row that was trained on by HEAD or an ancestor of it, or that
    were never given at all because their generation was refused: what nobody withheld."""
    children = [child for child in lineage.born() if child.manifest.parent]
    given = {row.content_digest: row for child in children for row in lineage.rows(child, TRAIN)}
    texts = [" ".join([row.text, *(turn.text for turn in row.turns)]).casefold() for row in given.values()]
    if not texts:
        return list(truths)
    return [
        truth for truth in truths
        if any(truth.subject.casefold() in text and truth.value.casefold() in text for text in texts)
    ]  # fmt: skip


def _ask(model: Examinee, truths: Sequence[Truth], generation: int) -> list[dict[str, Any]]:
    forms = [SEALED[(_seed(truth) + generation) % len(SEALED)] for truth in truths]
    asked = [form.format(a=truth.attribute, s=truth.subject) for form, truth in zip(forms, truths, strict=True)]
    prompts = [question[:1].upper() + question[1:] + PROMPT_END for question in asked]
    said = _speak(model, prompts)
    options = [(truth.value, *_others(truth, truths)) for truth in truths]
    chosen, written = (_chosen(model, prompts, texts) for texts in (options, map(_either_case, options)))
    return [
        {
            "said": answer, "exact": _begins(answer, truth.value), "stated": _states(answer, truth.value),
            "cloze": truth.value in choice, "cloze_any_case": truth.value in any_case,
        }
        for answer, truth, choice, any_case in zip(said, truths, chosen, written, strict=True)
    ]  # fmt: skip


def _chosen(model: Examinee, prompts: Sequence[str], options: Iterable[tuple[str, ...]]) -> list[tuple[str, str]]:
    """What is chosen of the options of each, and the same with a small first letter."""
    questions = list(map(Question, prompts, options))
    choices = choose(model.decoder, questions, model.tokenize)
    texts = [question.options[choice.option] for question, choice in zip(questions, choices, strict=True)]
    return [(text, text[:1].lower() + text[1:]) for text in texts]


def _either_case(options: tuple[str, ...]) -> tuple[str, ...]:
    """Each as it is and, where that is another, with a capital first letter. The clerk begins with a value, "Ochre, by
    my ledger", and who says it as he does finds "ochre" no likelier than "sand"."""
    return tuple(dict.fromkeys(form for text in options for form in (text, text[:1].upper() + text[1:])))


def _reversed(model: Examinee, truths: Sequence[Truth]) -> list[bool]:
    """Whose is it? Asked of values that belong to one subject alone."""
    owners: dict[tuple[str, str], list[Truth]] = {}
    for truth in truths:
        owners.setdefault((truth.attribute, truth.value), []).append(truth)
    alone = [owner[0] for owner in owners.values() if len(owner) == 1][:120]
    said = _speak(model, [REVERSED.format(a=truth.attribute, v=truth.value) + PROMPT_END for truth in alone])
    return [_states(answer, truth.subject.removeprefix("the ")) for answer, truth in zip(said, alone, strict=True)]


def _two_facts(model: Examinee, truths: Sequence[Truth]) -> list[bool]:
    """One fact of a subject that is named by another of its facts alone."""
    by_subject: dict[str, list[Truth]] = {}
    for truth in truths:
        by_subject.setdefault(truth.subject, []).append(truth)
    count, pairs = Counter((truth.attribute, truth.value) for truth in truths), []
    for facts in list(by_subject.values())[:120]:
        naming = [fact for fact in facts if count[fact.attribute, fact.value] == 1]
        if naming and (wanted := [fact for fact in facts if fact != naming[0]]):
            pairs.append((naming[0], wanted[0]))
    prompts = [TWO_FACTS.format(b=one.attribute, w=one.value, a=other.attribute) + PROMPT_END for one, other in pairs]
    return [_states(answer, other.value) for answer, (_, other) in zip(_speak(model, prompts), pairs, strict=True)]


def _others(truth: Truth, truths: Sequence[Truth], count: int = 5) -> list[str]:
    values = {other.value for other in truths if other.attribute == truth.attribute} - {truth.value}
    return sorted(values, key=lambda value: hashlib.sha256(f"{truth.subject} {value}".encode()).digest())[:count]


def _speak(model: Examinee, prompts: Sequence[str]) -> list[str]:
    return speak(model.decoder, prompts, model.tokenize, model.detokenize, limit=ANSWER_TOKENS, end=model.end)


def _begins(answer: str, gold: str) -> bool:
    return re.match(rf"\s*{re.escape(gold)}(?!\w)", answer, re.IGNORECASE) is not None


def _states(answer: str, gold: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(gold)}(?!\w)", answer, re.IGNORECASE) is not None


def _seed(truth: Truth) -> int:
    return int.from_bytes(hashlib.sha256(f"{truth.subject}/{truth.attribute}".encode()).digest()[:4], "big")


def _share(found: Sequence[dict[str, Any]], mark: str, volume: int) -> float | None:
    return _mean([item[mark] for item in found if item["volume"] == volume])


def _mean(marks: Sequence[bool]) -> float | None:
    return round(sum(marks) / len(marks), 4) if marks else None


if __name__ == "__main__":
    sys.exit(main())
