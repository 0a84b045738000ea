"""Which generations answer: HEAD, wherever the ledger puts it, and one guest that somebody asked for by name.

When HEAD moves, the newcomer is loaded beside the one that answers, its weights verified, and made to say something;
only then do new questions go to it, and those that were waiting; the old one ends what it has begun. Each answer is
one engine's from its first token to its last. Whatever goes wrong, the old one keeps answering, and says why.
"""

from __future__ import annotations

import functools
import queue
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from germline.errors import DoesNotFit, GermlineError, PlanError
from germline.forge import machine
from germline.forge.machine import Arithmetic
from germline.fragments import Moved, Represented, in_words, remap, represent
from germline.lineage import Generation, Lineage
from germline.records import Event, OnEvent, plain
from germline.serve import heaps
from germline.serve.apart import apart
from germline.serve.engine import Answer, Busy, Ended, Engine, Gone, Piece
from germline.settings import Fragments
from germline.speaker import Speaker
from germline.store import ledger
from germline.store.home import Home

RETRY_SECONDS = 30.0
"""After a newcomer could not be loaded. Memory may be free by then."""
LOADED = 1.5
"""What a generation that answers takes for each byte of its weights, in bf16: 378 MiB for SmolLM2's 257."""
WARM_UP_TOKENS = 4
WARM_UP_SECONDS = 120.0


class LostFragment(GermlineError):
    """A newcomer that lost a fragment, and is kept out for it by this policy."""

    def __init__(self, problem: str, policy: Fragments) -> None:
        super().__init__(problem, hint='fragments.lost = "warn" lets it answer all the same')
        self.policy = policy


@dataclass(frozen=True, slots=True)
class Loaded:
    """A generation that answers."""

    generation: Generation
    speaker: Speaker
    engine: Engine
    fragments: Represented

    @property
    def name(self) -> str:
        return self.generation.name


class Serving:
    """Threads: `submit` and `named` may be called from any; `follow` from one."""

    def __init__(
        self,
        home: Home,
        on: Arithmetic,
        *,
        rows: int,
        on_event: OnEvent,
        fragments: Callable[[], Fragments] = Fragments,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        """Load HEAD. Raises what a damaged store, a machine too small or a broken model raises.

        `fragments` is asked at each load: the owner may write them while the server runs. `free_bytes` tells what
        memory there is, by default where `on` computes.
        """
        self._fragments = fragments
        self.moved: list[Moved] = []
        """What the last swap did to the fragments."""
        self.home, self.rows = home, rows
        self._on, self._on_event = on, on_event
        self._free_bytes = free_bytes or functools.partial(machine.free_bytes, on.device)
        self._loading = threading.Lock()
        self._guest: Loaded | None = None
        self._former_guest: tuple[str, weakref.ref[Engine]] | None = None
        self._leaving: list[Engine] = []
        self._retry_at = 0.0
        self._blocked_by: Fragments | None = None
        self.problem = ""
        """Why HEAD is not the generation that answers, if it is not."""
        self.swaps = 0
        self._seen = ledger.length(home)
        lineage = Lineage.open(home)
        self.head = self._load(lineage, lineage.head)

    def named(self, name: str) -> Loaded:
        """HEAD, or the generation of that name, which is loaded as the guest where it is neither.

        PlanError if there is none, DoesNotFit where memory is short, Busy while the guest before the present one has
        not ended its answers. Loading takes seconds.
        """
        if found := next((one for one in self._loaded() if one.name == name), self.head if name == "HEAD" else None):
            return found
        lineage = Lineage.open(self.home)
        meant = lineage.resolve(name)
        with self._loading:
            if found := self._answering(meant):
                return found
            self._dismiss_guest()
            self._guest = self._load(lineage, meant)
            return self._guest

    @property
    def is_loading(self) -> bool:
        """Whether a generation is on its way, which cannot be broken off."""
        return self._loading.locked()

    def has_loaded(self, name: str) -> bool:
        """Whether who is named so answers already."""
        return name == "HEAD" or any(one.name == name for one in self._loaded())

    def submit(self, name: str, answer: Callable[[Loaded], Answer]) -> tuple[Loaded, Answer]:
        """Have it answered, and tell by whom: `answer` is made for that generation.

        Busy where too many wait, Gone where the server is about to end, DoesNotFit where memory is short.
        """
        while True:
            loaded = self.named(name)
            made = answer(loaded)
            try:
                loaded.engine.submit(made)
                return loaded, made
            except Gone:
                if self.named(name) is loaded:  # it did not give way: nobody answers any more
                    raise

    def follow(self) -> None:
        """Look at the ledger; if HEAD has moved, let the new one take over. Never raises: whatever went wrong is
        `problem`, and is tried again when the ledger moves or half a minute has passed."""
        length = self._seen
        try:
            self._sweep()
            length = ledger.length(self.home)
            if length == self._seen and not (self.problem and self._may_retry()):
                return
            lineage = Lineage.open(self.home)
            if lineage.head.digest != self.head.generation.digest:
                self._swap(lineage, lineage.head)
            self._seen, self.problem = length, ""
        except Exception as error:  # the thread that follows must outlive it
            told = error.message if isinstance(error, GermlineError) else f"{type(error).__name__}: {error}"
            self._blocked_by = error.policy if isinstance(error, LostFragment) else None
            if told != self.problem:  # once: what cannot be looked at is looked at twice a second
                self._on_event(Event(kind="note", text=f"{self.head.name} keeps answering: {told}"))
            self.problem, self._retry_at = told, time.monotonic() + RETRY_SECONDS
            self._seen = length

    def _may_retry(self) -> bool:
        """What lost a fragment would lose it again, until the owner writes the fragments otherwise."""
        if self._blocked_by is not None:
            return self._fragments() != self._blocked_by
        return time.monotonic() >= self._retry_at

    def close(self, seconds: float) -> None:
        """Take nothing more, and wait so long for what is under way."""
        for loaded in self._loaded():
            loaded.engine.drain()
            loaded.engine.join(seconds)

    @property
    def has_ended(self) -> bool:
        """Whether no engine goes on, of those that were handed over either."""
        return all(engine.join(0.0) for engine in (*self._leaving, *(loaded.engine for loaded in self._loaded())))

    def _loaded(self) -> list[Loaded]:
        guest = self._guest
        return [self.head, guest] if guest else [self.head]

    def _answering(self, generation: Generation) -> Loaded | None:
        return next((one for one in self._loaded() if one.generation.digest == generation.digest), None)

    def _swap(self, lineage: Lineage, newcomer: Generation) -> None:
        with self._loading:
            took_over = self._represented(self._answering(newcomer)) or self._load(lineage, newcomer)
            try:
                moved = self._remapped(took_over)
            except BaseException:
                if took_over.engine is not (self._guest and self._guest.engine):
                    took_over.engine.drain()
                raise
            heaps.give_back()  # what reading its weights took
            before, self.head = self.head, took_over
            self._guest = None if self._guest and self._guest.engine is took_over.engine else self._guest
        before.engine.hand_over()
        self._leaving.append(before.engine)
        self.swaps, self.moved = self.swaps + 1, moved
        data = {"from": before.name, "to": newcomer.name, "generation": newcomer.digest, "fragments": plain(moved)}
        text = f"{newcomer.name} answers from here on" + (f"; {in_words(moved)}" if moved else "")
        self._on_event(Event(kind="swap", text=text, data=data))

    def _sweep(self) -> None:
        """Give the memory of those back to the system that have ended their last answer."""
        before = len(self._leaving)
        while self._leaving and self._leaving[0].join(0):
            self._leaving.pop(0)
        if len(self._leaving) < before:
            heaps.give_back()

    def _represented(self, guest: Loaded | None) -> Loaded | None:
        """A guest with the fragments that the plan names now: it knows those of when it was loaded."""
        if guest is None or [*(named := self._fragments().named)] == [*guest.fragments.named.values()]:
            return guest
        known = apart(lambda: represent(guest.speaker, guest.generation.digest, named))
        return replace(guest, fragments=known)

    def _remapped(self, newcomer: Loaded) -> list[Moved]:
        """What becomes of the fragments. GermlineError for a lost one, if the plan would have that block the swap."""
        moved, policy = remap(self.head.fragments, newcomer.fragments), self._fragments()
        lost = [one.name for one in moved if one.lost]
        if lost and policy.lost == "block":
            problem = f"{newcomer.name} has lost the fragment {' and '.join(lost)}: {in_words(moved)}"
            raise LostFragment(problem, policy)
        return moved

    def _dismiss_guest(self) -> None:
        if self._former_guest:
            name, remembered = self._former_guest
            if (engine := remembered()) and not engine.join(0.1):
                problem = f"{name} has not ended its answers, and makes room for no other guest"
                raise Busy(problem, hint="ask again in a second")
        before, self._guest = self._guest, None
        if before:
            before.engine.drain()
            self._leaving.append(before.engine)
            self._former_guest = before.name, weakref.ref(before.engine)  # to be asked, not to be kept

    def _load(self, lineage: Lineage, generation: Generation) -> Loaded:
        wider = self._on.dtype.itemsize / torch.bfloat16.itemsize
        needed, free = LOADED * wider * generation.manifest.weights.size, self._free_bytes()
        if needed > free:
            problem = f"{generation.name} takes {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} are free"
            raise DoesNotFit(problem, hint="end something else that takes memory")
        speaker, known = apart(lambda: self._read(lineage, generation))
        end, rows = speaker.tokenizer.eos_id, self.rows
        engine = Engine(speaker.decoder, end=end, rows=rows, free_bytes=self._free_bytes)
        loaded = Loaded(generation, speaker, engine, known)
        try:
            warm_up(loaded)
        except BaseException:
            loaded.engine.drain()
            raise
        return loaded

    def _read(self, lineage: Lineage, generation: Generation) -> tuple[Speaker, Represented]:
        speaker = Speaker.of(lineage, generation, self._on)
        try:
            policy = self._fragments()
        except PlanError as error:  # the owner's plan is broken, and not the name that was asked for
            raise GermlineError(error.message, hint=error.hint) from error
        return speaker, represent(speaker, generation.digest, policy.named)


def warm_up(loaded: Loaded) -> None:
    """Generate a few tokens that nobody sees. GermlineError if it cannot: it must not take over."""
    told: queue.Queue[Piece] = queue.Queue()
    prompt = loaded.speaker.tokenizer.encode("The") or [loaded.speaker.tokenizer.eos_id]
    loaded.engine.submit(Answer(prompt[:1], told.put, limit=WARM_UP_TOKENS))
    try:
        while not isinstance(piece := told.get(timeout=WARM_UP_SECONDS), Ended):
            pass
    except queue.Empty:
        problem = f"{loaded.name} said nothing in {WARM_UP_SECONDS:.0f} seconds"
        raise GermlineError(problem, hint="end what else this machine is at, and ask again") from None
    if piece.reason == "failed":
        raise GermlineError(f"{loaded.name} cannot answer: {piece.error}", hint="germline verify")
