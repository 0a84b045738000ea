"""Proofs by simulated power cuts, and that every sync of the write door is needed: a cut tells when one is missing."""

from __future__ import annotations

import ast
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tests.vault.cycle import Acknowledged, Cycle, Lost, Told, finish, require_sound
from tests.vault.deaths import after_this
from tests.vault.faults import Died, forked, scratch, watching
from tests.vault.power import SOURCE, Act, Cut, Recording, Tree, cuts, read_tree, replayed, without_sync, write_tree
from tests.vault.proof import Proof

SYNCS = ("flush", "flush_directory")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What a life asked of the disk; if `died`, it died after so many primitives, and was lived again."""

    acts: list[Act]
    start: Tree
    died: int | None = None


@dataclass(frozen=True, kw_only=True)
class Outage:
    """One power cut: after so many acts of a life, in one of the possible ways."""

    trace: Trace
    acts: int
    cut: Cut

    def __str__(self) -> str:
        died = "" if self.trace.died is None else f"died after {self.trace.died} primitives and lived again, then "
        return f"{died}power cut after {self.acts} acts ({self.cut.way} {self.cut.which})"

    def left(self) -> tuple[Tree, tuple[Told, ...]]:
        """What is on the disk, and what had been told."""
        *_, (disk, told) = replayed(self.trace.acts[: self.acts], self.trace.start)
        return disk.after(self.cut), told


def trace(cycle: Cycle, world: Path, *, died: int | None = None) -> Trace:
    """Live in `world`, as it stands, to the end."""
    start = read_tree(world)
    recording = Recording(world, died)
    with watching(recording):
        with suppress(Died):
            cycle.live(world, recording.tell)
        if died is not None:
            recording.deadly = None
            cycle.live(world, recording.tell)
    return Trace(acts=recording.acts, start=start, died=died)


def fresh(cycle: Cycle, died: int | None = None) -> Trace:
    """The trace of a whole life."""
    with scratch() as folder:
        cycle.new_world(folder / "world")
        kept = folder / "trace"
        forked(lambda tell: kept.write_bytes(pickle.dumps(trace(cycle, folder / "world", died=died)))).sound()
        found: Trace = pickle.loads(kept.read_bytes())
    return found


def broken(cycle: Cycle, whole: Trace, most: int, dice: random.Random) -> list[Trace]:
    """Lives that died after a name was given or taken, before it was durable, and went on: the disk saw no end."""
    names = [act[0] for act in whole.acts if act[0] != "told"]
    points = [number + 1 for number, name in enumerate(names) if name in ("link", "mkdir", "replace", "rename")]
    return [fresh(cycle, died) for died in sorted(dice.sample(points, min(most, len(points))))]


def outages(
    found: Trace, known: set[int], wanted: Callable[[Cut], bool] = lambda cut: True, chances: int = 0, seed: int = 0
) -> Iterator[Outage]:
    """Every distinct state in which a power cut during this life may leave the disk, less those known already."""
    dice = random.Random(seed)
    for number, (disk, told) in enumerate(replayed(found.acts, found.start)):
        for cut in filter(wanted, cuts(disk, dice, chances)):
            known_told = Acknowledged.of(told)
            state = hash((known_told.entries, known_told.plan, frozenset(disk.after(cut).items())))
            if state not in known:
                known.add(state)
                yield Outage(trace=found, acts=number, cut=cut)


def power(cycle: Cycle, seed: int, states: int, deaths: int = 8) -> Proof:
    """So many states, those of an undisturbed life first; from every third, the power is cut during recovery, too."""
    dice, known = random.Random(seed), set[int]()
    whole = fresh(cycle)
    found = list(outages(whole, known, chances=8, seed=seed))
    distinct = len(found)
    for other in broken(cycle, whole, deaths, dice):
        found += outages(other, known, chances=1, seed=seed)
    first = dice.sample(found[:distinct], min(states, distinct))
    chosen = first + dice.sample(found[distinct:], min(states - len(first), len(found) - distinct))

    def attempt(number: int, folder: Path) -> None:
        with after_this(str(chosen[number])):
            tree, told = chosen[number].left()
            _recovered(cycle, tree, told, folder, second=f"{seed} {number}" if number % 3 == 0 else "")

    return Proof(
        name=f"{cycle.name}-power", attempts=len(chosen), attempt=attempt,
        about=f"simulated power cuts during the {cycle.name} cycle and its recovery: distinct states of the disk",
        counts={"acts": len(whole.acts), "states_of_one_life": distinct, "states_with_lives_that_died": len(found),
                "tried_with_a_second_cut": -(-len(chosen) // 3)},
    )  # fmt: skip


def _recovered(cycle: Cycle, tree: Tree, told: tuple[Told, ...], folder: Path, second: str = "") -> None:
    """Lost, unless a life goes on from what is left, and ends well. With a seed, the power is cut once more."""
    world = folder / "world"
    write_tree(tree, world)
    forked(lambda tell: require_sound(cycle, world, told)).sound()
    if not second:
        forked(lambda tell: finish(cycle, world, told)).sound()
        return
    dice, kept = random.Random(second), folder / "trace"
    forked(lambda tell: kept.write_bytes(pickle.dumps(trace(cycle, world)))).sound()
    again: Trace = pickle.loads(kept.read_bytes())
    stop = dice.randrange(len(again.acts) + 1)
    *_, (disk, told_again) = replayed(again.acts[:stop], again.start)
    cut = dice.choice(list(cuts(disk, dice, chances=8)))
    with after_this(f"then power cut after {stop} acts of the recovery ({cut.way} {cut.which})"):
        (folder / "second").mkdir()
        _recovered(cycle, disk.after(cut), told + told_again, folder / "second")


def syncs() -> list[str]:
    """Every line of the source that syncs a file or a directory."""
    lines = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                first = getattr(node.args[0], "id", "") if node.args else ""
                if called == "sync_directory" or (called == "_do" and first == "flush"):
                    lines.append(f"{path.relative_to(SOURCE).as_posix()}:{node.lineno}")
    return lines


def mutants(cycle: Cycle, seed: int, lines: Sequence[str], deaths: int = 1000) -> Proof:
    """The source without one of its syncs, for each of `lines`: some power cut must lose something then.

    Only states of the disk are tried that are impossible with the sync in its place.
    """
    whole = fresh(cycle)
    lives = [whole, *broken(cycle, whole, deaths, random.Random(seed))]
    possible: set[int] = set()
    for life in lives:
        for _ in outages(life, possible, _ways(life)):
            pass

    def attempt(number: int, folder: Path) -> None:
        line, known = lines[number], set(possible)
        affected = [life for life in lives if any(act[0] in SYNCS and act[-1] == line for act in life.acts)]
        if not affected:
            raise Lost(f"{line} is not reached by the {cycle.name} cycle")
        tried = 0
        for life in affected:
            mutant = replace(life, acts=without_sync(life.acts, line))
            for outage in outages(mutant, known, _ways(life)):
                tried += 1
                place = folder / str(tried)
                place.mkdir()
                try:
                    _recovered(cycle, *outage.left(), place)
                except Lost:
                    return
        raise Lost(f"{line} can be removed: {tried} states of the disk that it prevents lose nothing")

    return Proof(
        name=f"{cycle.name}-mutants", attempts=len(lines), attempt=attempt,
        about="the write door without one of its syncs: caught when a simulated power cut then loses something",
        counts={"syncs": list(lines), "lives": len(lives)},
    )  # fmt: skip


def _ways(life: Trace) -> Callable[[Cut], bool]:
    """All ways in a life that nothing disturbed; in the many others the plainest."""
    return (lambda cut: True) if life.died is None else (lambda cut: cut.way == "lost")
