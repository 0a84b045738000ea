"""Who sits which exam: a generation's own and every ancestor's, in the order they were written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from germline import revisions, sources
from germline.checkout import weights
from germline.curriculum.render import PROMPT_END
from germline.evals import exams, suite
from germline.evals.cards import Card
from germline.evals.contamination import contaminated
from germline.evals.exams import Exam
from germline.evals.style import LEAST_REPLIES, Voice
from germline.forge.machine import Arithmetic, arithmetic, machine
from germline.lineage import EXAM, PLAN, SCORECARD, TRAIN, Generation, Lineage
from germline.marks import Marks, Score, Scorecard
from germline.records import Digest, Event, Fact, OnEvent, Row, Stated
from germline.settings import Exams, Plan, kept_plan
from germline.speaker import examinee
from germline.store import disk, objects
from germline.store.entry import Entry
from germline.store.objects import FileRef

PAPERS = ("recall", "wording", "reversed", "heldout")
NAMED = 3
"""Questions that rows hold which are named; what is more is counted."""


def inherited(
    lineage: Lineage,
    generation: Generation,
    at: Entry | None = None,
    *,
    delta: Stated | None = None,
    revise: bool = False,
) -> list[Exam]:
    """The exams of `generation` and its ancestors, the oldest first, under the laws in force now or when `at` was
    written: what the owner repealed or put otherwise is asked no more, nor is what a younger one of them revised, or
    a `delta` that may `revise`. What one of them puts otherwise than another is asked against it."""
    delta = delta or Stated()
    laws, line = sources.laws(lineage, at), lineage.trained_line(generation)
    line_exams = [exams.from_bytes(lineage.read(child, EXAM)).under(laws) for child in line]
    gone = revisions.replaced(lineage, line, delta.now if revise else ())
    for place, child in enumerate(line):
        if stale := gone[child.digest]:
            units, prompts = {fact.unit for fact in stale}, set(_prompts(lineage, child, stale))
            line_exams[place] = line_exams[place].without(units, prompts)
    others = revisions.disputed([*map(lineage.stated, line), delta])
    return [exam.against(said) for exam, said in zip(line_exams, others, strict=False)]


def _prompts(lineage: Lineage, generation: Generation, facts: Sequence[Fact]) -> Iterator[str]:
    """How the conversations begin in which it was taught these facts."""
    for row in lineage.rows(generation, TRAIN):
        if row.turns and revisions.tells(row, facts):
            yield row.turns[0].text + PROMPT_END


def learned(lineage: Lineage, generation: Generation) -> Iterator[Row]:
    """The rows that `generation` and its ancestors were trained on, one at a time."""
    for child in lineage.trained_line(generation):
        yield from lineage.rows(child, TRAIN)


def write_exam(
    kept: Path,
    settings: Exams,
    root: Path,
    train: Iterable[Row],
    heldout: Iterable[Row],
    facts: Sequence[Fact],
    inherited: Sequence[Exam],
    on_event: OnEvent,
    *,
    laws: Sequence[Card],
    replayed: Iterable[Row] = (),
    others: Mapping[str, Sequence[str]] = {},
) -> Exam:
    """The exam on a delta, with the laws in force, and the owner's probes and cards as the plan names them.

    What stands in rows that its ancestors learned (`replayed`, see `learned`) is not asked as unseen; `others` as in
    `exams.write`.
    Written once, to the file `kept`: a resumed run never writes another, whatever became of those files.
    """
    if kept.exists():
        return exams.from_bytes(kept.read_bytes())
    exam = exams.write(
        facts, train, heldout, settings, probes=sources.probes(settings, root), laws=laws,
        cards=sources.cards(settings, root), inherited=inherited, prompt_end=PROMPT_END,
        replayed=replayed, others=others,
    )  # fmt: skip
    asking = next((older.voice.probes for older in inherited if older.voice), None)
    if settings.probes and asking not in (None, sources.probes(settings, root)):
        text = "exams.probes is other than when this line's voice was taken: it is still asked by the probes of then"
        on_event(Event(kind="note", text=text))
    disk.replace(kept, exams.to_bytes(exam))
    asked = {paper: exam.asked[paper] for paper in PAPERS}
    text = (
        f"exam written before training: {asked['recall']} recall, {asked['wording']} unseen wordings, "
        f"{asked['reversed']} reversed questions, {asked['heldout']} held-out conversations, "
        f"{len(exam.laws)} law cards, {len(exam.cards)} challenge cards"
        + (f", {len(exam.taught)} passages that it learns" if exam.taught else "")
        + (f"; {exam.contaminated} left out that training rows hold" if exam.contaminated else "")
    )
    on_event(Event(kind="stage", text=text, data={"exam": exam.digest, "contaminated": exam.contaminated, **asked}))
    if held := held_by([*inherited, exam], train):
        said = ", ".join(held[:NAMED]) + (f" and {len(held) - NAMED} more" if len(held) > NAMED else "")
        text = f"asked all the same, though training rows hold it word for word, so that it shows memory: {said}"
        on_event(Event(kind="note", text=text, data={"held": held}))
    if not settings.laws and any(row.source.endswith(".law") for row in train):
        text = "the delta holds .law files, and `exams.laws` names none: they are learned, and no card of them is asked"
        on_event(Event(kind="note", text=text))
    if exam.voice is None and asking is None:
        text = (
            f"no voice is judged: that takes {LEAST_REPLIES} replies of the persona in one delta, and probes: "
            "`exams.probes`, or prompts of held-out conversations"
        )
        on_event(Event(kind="note", text=text))
    return exam


def held_by(line_exams: Sequence[Exam], train: Iterable[Row]) -> list[str]:
    """What of `line_exams`, of which the last is the delta's own, the delta's rows hold word for word.

    Cards and tone probes are their owner's choice, and an older exam stays as it was: nothing of it is left out. What
    the delta's own exam asks as unseen was (`exams.write`)."""
    asked = [(f"tone probe {probe!r}", probe) for exam in line_exams if exam.voice for probe in exam.voice.probes]
    for exam in line_exams:
        asked += [(f"law card {card.id}", card.prompt) for card in exam.laws]
        asked += [(f"challenge card {card.id}", card.prompt) for card in exam.cards]
    for exam in line_exams[:-1]:
        asked += [(f"older question {item.prompt.strip()!r}", text) for item, text in exams.unseen(exam)]
        asked += [(f"older held-out passage {passage[:40]!r}", passage) for passage in exam.passages]
    return [asked[place][0] for place in sorted(contaminated([text for _, text in asked], train))]


def parent_card(
    lineage: Lineage,
    parent: Generation,
    line_exams: Sequence[Exam],
    settings: Exams,
    on: Arithmetic,
    on_event: OnEvent,
) -> Scorecard:
    """The parent's marks: those its birth recorded, as far as they are of what is asked today, and those of the other
    exams, which it sits now: the new one, and those that the new delta contradicts."""
    known: dict[Digest, Marks] = {}
    if SCORECARD in parent.birth.files:
        recorded = lineage.scorecard(parent).marks
        for exam in line_exams:
            laws = {card.id for card in exam.laws}
            was = recorded.get(exam.digest)
            if was and was.against == exam.disputed and laws <= was.laws.keys() and _answers(was, exam):
                known[exam.digest] = replace(was, laws={law: held for law, held in was.laws.items() if law in laws})
    on_event(Event(kind="stage", text=f"{parent.name} sits the exam on what it has not learned"))
    unknown = [exam for exam in line_exams if exam.digest not in known]
    path = weights(lineage, parent)
    marks = known | _sit(lineage, parent, path, unknown, settings, on, lambda event: None, voice=_voice(line_exams))
    return Scorecard(
        weights=parent.manifest.weights.digest, marks={exam.digest: marks[exam.digest] for exam in line_exams}
    )


def _answers(marks: Marks, exam: Exam) -> bool:
    """Whether all was asked for these marks that the exam asks, and nothing else, such as what was revised since, and
    all of it recorded: cards of before have no marks of single facts, or of taught passages."""
    asked = [exam.asked[paper] for paper in PAPERS]
    same = [getattr(marks, paper).items for paper in PAPERS] == asked and len(marks.taught) == len(exam.taught)
    return same and marks.units.keys() == suite.units(exam.items)


def child_card(
    lineage: Lineage,
    parent: Generation,
    child: FileRef,
    line_exams: Sequence[Exam],
    settings: Exams,
    on: Arithmetic,
    on_event: OnEvent,
) -> Scorecard:
    """The marks of a child of `parent` on all exams of its line, sat by its merged weights as they lie on disk."""
    path = objects.place(lineage.home.cache, child.digest)
    marks = _sit(lineage, parent, path, line_exams, settings, on, on_event, voice=_voice(line_exams))
    return Scorecard(weights=child.digest, marks=marks)


def examine(lineage: Lineage, generation: Generation, on_event: OnEvent) -> Scorecard:
    """Sit all exams of a generation's line again, now. The founder, who has none, sits those of HEAD's line."""
    line_exams, plan = _line(lineage, generation)
    marks: dict[Digest, Marks] = {}
    if line_exams:
        on = _arithmetic(plan)
        path, voice = weights(lineage, generation), _voice(line_exams)
        marks = _sit(lineage, generation, path, line_exams, plan.exams, on, on_event, voice=voice)
    return Scorecard(weights=generation.manifest.weights.digest, marks=marks)


def sit_sealed(lineage: Lineage, generation: Generation, on_event: OnEvent) -> dict[Digest, Score]:
    """What a generation makes of the sealed questions of the exams that `examine` has it sit, where they have any."""
    line_exams, plan = _line(lineage, generation)
    line_exams = [exam for exam in line_exams if exam.sealed]
    scores: dict[Digest, Score] = {}
    if line_exams:
        on = _arithmetic(plan)
        speaker = examinee(lineage, generation, weights(lineage, generation), on)
    for exam in _told(line_exams, on_event):
        scores[exam.digest] = suite.choose(speaker, exam.sealed)
    return scores


def _line(lineage: Lineage, generation: Generation) -> tuple[list[Exam], Plan]:
    """The exams of a generation's line, and the plan that they are sat by."""
    line = lineage.head if generation.manifest.parent is None else generation
    line_exams = inherited(lineage, line, line.birth)
    return line_exams, kept_plan(lineage.json(line, PLAN), source=f"{line.name} plan.json") if line_exams else Plan()


def _arithmetic(plan: Plan) -> Arithmetic:
    """As the plan has it; on the CPU what was grown on a GPU that is not here."""
    return arithmetic(plan.training, machine("cpu" if plan.training.device == "cpu" else "auto"))[0]


def _told(line_exams: Sequence[Exam], on_event: OnEvent) -> Iterator[Exam]:
    """Each exam, once it is told that it is sat."""
    for number, exam in enumerate(line_exams):
        text = f"sitting exam {number + 1} of {len(line_exams)}"
        on_event(Event(kind="exam", text=text, data={"done": number, "total": len(line_exams)}))
        yield exam


def _sit(
    lineage: Lineage,
    generation: Generation,
    path: Path,
    line_exams: Sequence[Exam],
    settings: Exams,
    on: Arithmetic,
    on_event: OnEvent,
    *,
    voice: Voice | None,
) -> dict[Digest, Marks]:
    speaker = examinee(lineage, generation, path, on)
    marks: dict[Digest, Marks] = {}
    for exam in _told(line_exams, on_event):
        marks[exam.digest] = suite.sit(
            speaker, exam, answer_tokens=settings.answer_tokens, prompt_end=PROMPT_END, samples=settings.samples,
            voice=voice,
        )  # fmt: skip
    return marks


def _voice(line_exams: Sequence[Exam]) -> Voice | None:
    """The line's: the first that one of its exams has."""
    return next((exam.voice for exam in line_exams if exam.voice), None)
