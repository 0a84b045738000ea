"""An evolve in flight: its directory under `runs/`, which outlives a kill and is gone once the child is born.

runs/g4/run.json      parent, laws, plan, sources and delta, written once the delta is whole
runs/g4/delta/        the immutable snapshot of what is to be learned
runs/g4/batches/      what every step of training reads (curriculum.batches)
runs/g4/checkpoint…   the state of training (forge.resume)
runs/g4/fit.json      how training fits this machine, fixed when it began
runs/g4/trained.json  written when training has ended
runs/g4/candidate-1/  batches, checkpoints and trained.json of the next candidate, where the plan wants several
runs/g4-before/       the run that a restart takes the place of, until the delta of the new one is whole
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from germline import delta, foreign, sources
from germline.corpus.read import changed_since
from germline.corpus.whitelist import read_whitelist
from germline.errors import DataError, GermlineError, NothingNew, PlanError, shell_word
from germline.karma import harvest
from germline.lineage import EXAM, HELDOUT, PLAN, TRAIN, Generation, Lineage
from germline.records import (
    Delta,
    Digest,
    Event,
    OnEvent,
    Trained,
    canonical_json,
    digest_of,
    digest_of_delta,
    finite,
    plain,
)  # fmt: skip
from germline.settings import Plan, kept_plan
from germline.store import disk, ledger, objects, prune
from germline.store.entry import LAWS
from germline.store.home import BEGUN, Home

if TYPE_CHECKING:
    from germline.forge.fit import Fit  # which loads torch

RUN, FIT, TRAINED = BEGUN, "fit.json", "trained.json"
NAMED = 3
"""Files that an event names; what is more is counted."""
LARGEST = 2**28
"""Bytes of such a file; a loss curve takes some 20 a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    directory: Path
    parent: Generation
    number: int
    plan: Plan
    delta: Delta
    resumed: bool = False
    """Whether an earlier process began it."""
    candidate: int = 0
    """Which of the plan's candidates is trained in it."""

    def of_candidate(self, number: int) -> Run:
        """The same from another seed, in a directory of its own."""
        training = self.plan.training.model_copy(update={"seed": self.plan.training.seed + number})
        directory = self.directory / f"candidate-{number}" if number else self.directory
        plan = self.plan.model_copy(update={"training": training})
        return replace(self, candidate=number, directory=directory, plan=plan)

    @property
    def plan_bytes(self) -> bytes:
        """What of its plan shapes the child: all but its budget, what maturity is, what karma pays for and the
        fragments, and where the sources lie, which the snapshot stands for."""
        return canonical_json(_shaping(self.plan))


def _shaping(plan: Plan) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = plan.model_dump(
        mode="json", exclude={"budget", "maturity", "karma", "fragments"}
    )
    del tables["data"]["sources"]
    return tables


def begin(lineage: Lineage, plan: Plan, on_event: OnEvent, *, restart: bool) -> Run:
    """The unfinished run of this lineage, or a new one whose delta is read from the plan's sources now.

    Raises NothingNew when there is nothing new to learn, PlanError when an unfinished run was begun from
    another parent, plan or laws, or with a source or a whitelist that is no longer so, when the laws are not the
    pinned ones or the probes or cards cannot be read (before anything is learned), GermlineError when nothing could
    be signed here in the end.
    """
    sources.require_pinned(lineage, plan.exams)
    ledger.require_ready(lineage.home)
    number = lineage.next_number
    directory = lineage.home.runs / f"g{number}"
    disk.make_directory(lineage.home.runs)
    _put_back(lineage.home, directory)
    for leftover in lineage.home.run_directories():
        if leftover != directory:
            _clear(lineage.home, leftover)
    if (directory / RUN).exists() and not restart:
        for unfinished in directory.iterdir():  # a model that was merged to be asked, and nobody took away
            if disk.is_temporary(unfinished.name):
                disk.remove(unfinished)
        return _resumed(lineage, plan, directory, number, on_event)
    tell_waiting(lineage, on_event)
    listed = _whitelist(lineage.home, plan)
    with _set_aside(lineage.home, directory):
        run = drawn_up(lineage, plan, directory, on_event)
        disk.replace(directory / RUN, canonical_json({
            "parent": run.parent.digest, "laws": lineage.entries[-1].body[LAWS], "plan": json.loads(run.plan_bytes),
            "delta": {**plain(run.delta), "train": TRAIN, "heldout": HELDOUT},
            "sources": list(plan.data.sources), "whitelist": listed,
        }))  # fmt: skip
    return run


def tell_waiting(lineage: Lineage, on_event: OnEvent) -> None:
    """Of generations that a second key has to approve."""
    for entry in ledger.waiting(lineage.home, lineage.entries):
        name = f"g{entry.number}"
        text = f"{name} waits for `germline approve {name}`; this child descends from {lineage.head.name} all the same"
        on_event(Event(kind="note", text=text))


def drawn_up(lineage: Lineage, plan: Plan, directory: Path, on_event: OnEvent) -> Run:
    """A run in `directory` for HEAD's next child, its delta read from the plan's sources now. Nothing vouches for it
    yet. Raises as `delta.read_new`, and PlanError for probes or cards that cannot be read."""
    sources.probes(plan.exams, lineage.home.root)  # which an exam is written with: a wrong path is told now
    sources.cards(plan.exams, lineage.home.root)
    found = delta.read_new(lineage, plan, directory / "delta", on_event)
    return Run(directory=directory, parent=lineage.head, number=lineage.next_number, plan=plan, delta=found)


@contextmanager
def scratch() -> Iterator[Path]:
    """For a run that leaves nothing: a directory outside every lineage that nobody else may look into, gone after the
    block with all it holds. A process that is killed leaves it."""
    directory = disk.temporary_path(Path(tempfile.gettempdir()))
    try:
        disk.make_directory(directory, mode=0o700)
        yield directory
    finally:
        if directory.is_dir():  # a run that was given up took it along
            disk.remove_tree(directory, directory)


@contextmanager
def _set_aside(home: Home, directory: Path) -> Iterator[None]:
    """An unfinished run in `directory` makes room for a new one, and comes back if that cannot begin."""
    if directory.exists():
        disk.publish_directory(directory, _aside(directory))
    try:
        yield
    except BaseException:
        _put_back(home, directory)
        raise
    if _aside(directory).exists():
        _clear(home, _aside(directory))


def _put_back(home: Home, directory: Path) -> None:
    """Remove what a run that did not begin left in `directory`; what it should have taken the place of comes back."""
    if directory.exists() and not (directory / RUN).exists():
        disk.remove_tree(home.root, directory)
    if not directory.exists() and (_aside(directory) / RUN).exists():
        disk.publish_directory(_aside(directory), directory)


def _aside(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}-before")


def _whitelist(home: Home, plan: Plan) -> Digest:
    """Of what it lists; empty where the plan names none. PlanError as `read_whitelist`."""
    if not plan.data.whitelist:
        return ""
    return digest_of(canonical_json(sorted(read_whitelist(home.root / plan.data.whitelist))))


def end(home: Home, run: Run) -> None:
    """Remove what the run left. Call it once the child is in the ledger: what cannot be removed now (Windows, where a
    program has it open) goes when the next run begins, and is no reason to say that this one failed."""
    with suppress(GermlineError):
        disk.remove_tree(home.root, run.directory)


def _clear(home: Home, directory: Path) -> None:
    if (directory / RUN).exists():
        prune.sweep(home)
        disk.remove(directory / RUN)  # first of the directory, and durably: it vouches for the rest
    disk.remove_tree(home.root, directory)


def save_trained(run: Run, trained: Trained) -> None:
    disk.replace(run.directory / TRAINED, canonical_json({**plain(trained), "adapter": trained.adapter.name}))


def load_trained(run: Run) -> Trained | None:
    """What training left behind, if it has ended in this run."""
    path = run.directory / TRAINED
    if not path.exists():
        return None
    with _legible(path):
        table = json.loads(foreign.read(path, LARGEST))
        table["adapter"] = run.directory / Path(table["adapter"]).name
        return Trained(**{**table, "curve": tuple(table["curve"]), "parameters": tuple(table["parameters"])})


def save_fit(run: Run, fit: Fit) -> None:
    disk.replace(run.directory / FIT, canonical_json(finite(fit.to_json())))


def load_fit(run: Run) -> Fit | None:
    """What was fitted when training began: a resumed run keeps to it, whatever memory is free by now."""
    from germline.forge.fit import Fit

    path = run.directory / FIT
    if not path.exists():
        return None
    with _legible(path):
        return Fit.from_json(json.loads(foreign.read(path, LARGEST)))


@contextmanager
def _legible(path: Path) -> Iterator[None]:
    """For reading one of the files above, which anything may have become of since."""
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        hint = "`germline evolve --restart` gives the unfinished run up and begins anew"
        raise GermlineError(f"{path} is damaged: {error}", hint=hint) from error


def _resumed(lineage: Lineage, plan: Plan, directory: Path, number: int, on_event: OnEvent) -> Run:
    with _legible(directory / RUN):
        table = json.loads(foreign.read(directory / RUN, LARGEST))
        descends, same_laws = table["parent"] == lineage.head.digest, table["laws"] == lineage.entries[-1].body[LAWS]
        found = Delta(**{**table["delta"], "train": directory / TRAIN, "heldout": directory / HELDOUT})
        begun = kept_plan(table["plan"], source=str(directory / RUN))
        named, listed = list(table.get("sources", plan.data.sources)), table.get("whitelist", "")
    with _legible(directory / "delta"):
        if digest_of_delta(*(objects.hash_file(path).digest for path in (found.train, found.heldout))) != found.digest:
            raise ValueError("it is not what was read when the run was begun")
    restart = "`germline evolve --restart` gives the unfinished run up and begins anew"
    if not descends:
        raise PlanError(f"the unfinished run {directory} does not descend from HEAD", hint=restart)
    if not same_laws:
        raise PlanError(f"other laws were pinned since {directory.name} was begun", hint=restart)
    _require_unchanged(begun, plan, directory.name)
    if dropped := [source for source in named if source not in (*plan.data.sources, harvest.FOLDER)]:
        raise PlanError(f"{dropped[0]} is no source any more, and {directory.name} was begun with it", hint=restart)
    if "whitelist" in table and listed != _whitelist(lineage.home, plan):
        raise PlanError(f"{plan.data.whitelist} was changed since {directory.name} was begun", hint=restart)
    later = "".join(f"; {source} waits for the next" for source in plan.data.sources if source not in named)
    on_event(Event(kind="note", text=f"going on with {directory.name}, begun before{later}"))
    with suppress(DataError, OSError):  # what cannot be looked at now was read when it was begun
        newer = changed_since(named, lineage.home.root, found.train.stat().st_mtime)
        if newer:
            names = ", ".join(newer[:NAMED]) + (f" and {len(newer) - NAMED} more" if len(newer) > NAMED else "")
            text = f"written since, and not read by {directory.name}: {names}; {restart}"
            on_event(Event(kind="note", text=text, data={"files": newer}))
    return Run(directory=directory, parent=lineage.head, number=number, plan=plan, delta=found, resumed=True)


def _require_unchanged(begun: Plan, plan: Plan, name: str) -> None:
    now = _shaping(plan)
    changed = [
        (f"{section}.{key}", value, now[section][key])
        for section, table in _shaping(begun).items()
        for key, value in table.items()
        if value != now[section][key]
    ]
    if changed:
        key, was, found = changed[0]
        said = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value, _ in changed]
        again = " ".join(f"--set {shell_word(one)}" for one in said)
        raise PlanError(
            f"the plan changed since {name} was begun: {key} was {was!r} and is {found!r}",
            hint=f"`germline evolve {again}` goes on with it; with `--restart` it is given up and begun anew",
        )


_AGAIN = {
    "proposed": "`germline approve {0}` promotes it; for another child change the data or the plan",
    "promoted": "`germline rollback {0}` makes it HEAD again; for another child change the data or the plan",
}
"""What to do with a child that is there, where its outcome was not against it."""


def refuse_a_repeat(lineage: Lineage, run: Run, exam: Digest) -> None:
    """GermlineError, and the run is given up, where this very child was judged before by this very exam: the same
    parent, delta, plan and laws need not be trained to be judged again. Not even one that was promoted: who rolled
    back from it does not want it anew. NothingNew where the exam is an ancestor's, question for question."""
    for ancestor in lineage.trained_line(run.parent):
        if ancestor.manifest.files[EXAM].digest == exam:
            end(lineage.home, run)
            problem = f"this delta says in other rows what {ancestor.name} was taught: it asks nothing else"
            raise NothingNew(problem, hint="`germline feed PATH` adds what is new")
    repeated = (objects.hash_file(run.delta.train).digest, digest_of(run.plan_bytes), exam)
    for generation in lineage.born():
        files = generation.manifest.files
        if (
            generation.manifest.parent == run.parent.digest
            and generation.birth.body[LAWS] == lineage.entries[-1].body[LAWS]
            and (files[TRAIN].digest, files[PLAN].digest, files[EXAM].digest) == repeated
        ):
            end(lineage.home, run)
            name, outcome = generation.name, lineage.outcome(generation)
            hint = _AGAIN.get(outcome, "`germline show {0}` says why; change the data, the plan or the cards")
            raise GermlineError(
                f"this delta was {outcome} before, as {name}, with this plan, parent and exam", hint=hint.format(name)
            )
