"""germline for programs: open a lineage, let it grow, speak with it, go back, hand it on.

    import germline

    lineage = germline.Lineage.open("aria")
    lineage.on_promoted(lambda child: generator.reload(child))
    lineage.evolve()

All that is here is what the commands do, with the same errors (`germline.errors`); nothing prints. torch is loaded
where a model is, and not before. What is not here may change without notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from germline import lineage as reading
from germline.records import Event, Fact, OnEvent, Turn
from germline.settings import load_plan
from germline.store.home import Home

if TYPE_CHECKING:
    from germline.aging import Aged
    from germline.evolve import Outcome
    from germline.exporting import Exported, Kind
    from germline.speaker import Speaker
    from germline.store.verify import Report


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation, as the ledger has it."""

    name: str
    """g0, g1, …"""
    digest: str
    """Its id: the hash of every byte and name in it."""
    parent: str | None
    """The digest of whom it descends from."""
    outcome: str
    """`founded`, `promoted`, `proposed`, `refused` or `inconclusive`."""


Hook = Callable[[Generation], object]


def _silent(event: Event) -> None:
    """Nobody listens."""


class Lineage:
    """A lineage in its directory. It is read anew at every call, so what other processes do is seen."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._hooks: list[Hook] = []

    @classmethod
    def open(cls, path: str | Path | None = None) -> Lineage:
        """The lineage in `path`; without one that of GERMLINE_HOME, else the nearest at or above the working directory.
        NoLineage if there is none."""
        return cls(Home.find(None if path is None else Path(path)))

    @property
    def path(self) -> Path:
        return self._home.root

    @property
    def head(self) -> Generation:
        """The generation that speaks for the lineage."""
        now = reading.Lineage.open(self._home)
        return _told(now, now.head)

    @property
    def generations(self) -> list[Generation]:
        """All that are here, in order of birth, refused ones included."""
        now = reading.Lineage.open(self._home)
        return [_told(now, one) for one in now.born()]

    def on_promoted(self, hook: Hook) -> None:
        """Call `hook` with the child whenever `evolve` or `evolve_if_due` of this object moved HEAD, once it has.

        It runs in the thread that evolves. What it raises goes through to whoever called.
        """
        self._hooks.append(hook)

    def evolve(self, *, on_event: OnEvent = _silent, settings: Sequence[str] = (), restart: bool = False) -> Outcome:
        """Grow one child of HEAD and judge it: HEAD moves if, and only if, `outcome.kind` is `promoted`.

        `settings` override the plan, as `--set` does: "training.rank=32". Killed at any moment, the same call goes on
        where it stopped. NothingNew where the sources hold nothing new, Locked where another germline is at work.
        """
        from germline.evolve import age_up
        from germline.in_flight import shown

        with shown(self._home, on_event) as tell:
            outcome = age_up(self._home, load_plan(self._home.plan, settings), tell, restart=restart)
        self._promoted(outcome.kind, outcome.generation)
        return outcome

    def evolve_if_due(self, *, on_event: OnEvent = _silent) -> Aged:
        """Grow a child where karma pays for one, in a process of its own, at low priority."""
        from germline.aging import age_up_if_due

        aged = age_up_if_due(self._home, load_plan(self._home.plan), on_event)
        self._promoted(aged.outcome, self.head.digest)
        return aged

    def rollback(self, name: str) -> Generation:
        """Make an earlier generation HEAD again, and return it. Nothing is deleted."""
        from germline.rollback import move

        move(self._home, name)
        return self.head

    def export(
        self, name: str, to: Kind, directory: str | Path, *, quantization: str = "q8_0", on_event: OnEvent = _silent
    ) -> Exported:
        """Write a generation for other programs, opened by them and compared before it is there."""
        from germline.exporting import export

        now = reading.Lineage.open(self._home)
        return export(now, now.resolve(name), to, Path(directory), on_event, quantization=quantization)

    def speaker(self, name: str = "HEAD") -> Speaker:
        """A generation that can be spoken to; its weights are checked, and loaded here and now."""
        from germline.speaker import Speaker, usual_arithmetic

        now = reading.Lineage.open(self._home)
        return Speaker.of(now, now.resolve(name), usual_arithmetic(self._home))

    def facts(self, name: str) -> tuple[Fact, ...]:
        """What a generation was taught, as far as rules found it; nothing where it is the founder."""
        now = reading.Lineage.open(self._home)
        return now.facts(now.resolve(name))

    def verify(self) -> Report:
        """Every byte hashed again, every signature checked: `report.problems` is empty where all is whole."""
        from germline.store.verify import verify

        return verify(self._home)

    def _promoted(self, kind: str, digest: str) -> None:
        if kind == "promoted":
            now = reading.Lineage.open(self._home)
            child = _told(now, now.generation(digest))
            for hook in self._hooks:
                hook(child)


def answer(speaker: Speaker, prompt: str, *, before: Sequence[Turn] = (), limit: int = 256) -> Iterator[str]:
    """What a generation says to `prompt`, greedily, piece by piece, after the turns `before`."""
    return speaker.stream([*before, Turn(speaker="other", text=prompt)], limit=limit)


def _told(lineage: reading.Lineage, one: reading.Generation) -> Generation:
    return Generation(one.name, one.digest, one.manifest.parent, lineage.outcome(one))
