"""One generation that answers many at once, in a thread of its own."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from germline.errors import DoesNotFit, GermlineError
from germline.model.continuous_batch import ContinuousBatch
from germline.model.decoder import Decoder
from germline.model.generate import Sampling, choose

WAITING = 4
"""Answers that may wait for a place, for each place. More are turned away: whoever waits that long has left."""


class Busy(GermlineError):
    """All places are taken, and all places in the queue."""


class Gone(GermlineError):
    """This engine takes no more questions: it has given way to another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One token of an answer. Log-probabilities are natural, and before temperature."""

    token: int
    log_probability: float | None = None
    likeliest: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The last of an answer; `passed on` is one that was never begun, and that the successor may be asked for."""

    reason: Literal["stop", "length", "failed", "passed on"]
    error: str = ""


Piece = Said | Ended


class Answer:
    """A prompt and what is wanted of its answer. `receive` is told every piece, from whichever thread."""

    def __init__(
        self,
        prompt: Sequence[int],
        receive: Callable[[Piece], None],
        *,
        limit: int,
        sampling: Sampling | None = None,
        log_probabilities: int | None = None,
        ends: Collection[int] = (),
        of_anyone: bool = False,
    ) -> None:
        """At most `limit` tokens; with the `log_probabilities` likeliest words of each place, or none. `ends`
        end it, besides the engine's own. `of_anyone`: while it is not begun, another generation may as well give it."""
        self.prompt, self.limit, self.sampling = tuple(prompt), limit, sampling
        self.log_probabilities, self.receive = log_probabilities, receive
        self.ends, self.of_anyone = ends, of_anyone
        self.said: list[int] = []
        self.given_up = False
        """Set by whoever no longer listens: the place is free at the next token."""
        self._random = torch.Generator().manual_seed(sampling.seed) if sampling else None

    def go_on(self, logits: Tensor, likeliest: int, end: int) -> Piece:
        """Choose the next token by logits [V]; `likeliest` is the greedy choice, made for the whole batch."""
        if not bool(torch.isfinite(logits).all()):
            return Ended("failed", "what the model expects to follow is not a number")
        token = likeliest
        if self.sampling is not None:
            token = int(choose(logits[None], self.sampling, torch.rand(1, 1, generator=self._random)))
        if token == end or token in self.ends:
            return Ended("stop")
        self.said.append(token)
        if self.log_probabilities is None:
            return Said(token=token)
        probabilities = logits.log_softmax(-1)
        best = probabilities.topk(self.log_probabilities)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return Said(token=token, log_probability=float(probabilities[token]), likeliest=tuple(pairs))


class Engine:
    """Answers are begun in the order in which they were asked for, and go on side by side."""

    def __init__(
        self, decoder: Decoder, *, end: int, rows: int, free_bytes: Callable[[], float] = lambda: math.inf
    ) -> None:
        """At most `rows` answers go on at once; `end` is the id that ends them. A text for which there are not so
        many `free_bytes` is not taken."""
        self._decoder, self._end, self._free_bytes = decoder, end, free_bytes
        self._batch = ContinuousBatch(decoder, rows)
        self._waiting: deque[Answer] = deque()
        self._reading: list[Answer] = []
        self._going: list[Answer] = []
        self._change = threading.Condition()
        self._draining = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """Answers that are not at their end."""
        return len(self._waiting) + len(self._reading) + len(self._going)

    def submit(self, answer: Answer) -> None:
        """Busy, Gone or DoesNotFit where it cannot be taken."""
        needed, free = self._batch.bytes_of(len(answer.prompt) + answer.limit), self._free_bytes()
        if needed > free:
            problem = f"so long a text takes {needed / 2**20:,.0f} MiB of memory, {free / 2**20:,.0f} are free"
            raise DoesNotFit(problem, hint="a shorter prompt, or fewer max_tokens")
        with self._change:
            if self._draining:
                raise Gone("this generation no longer answers")
            self._waiting = deque(other for other in self._waiting if not other.given_up)
            if len(self._waiting) >= WAITING * self._batch.rows:
                raise Busy(f"{self.load} answers are under way", hint="ask again in a second")
            self._waiting.append(answer)
            self._change.notify()

    def drain(self) -> None:
        """Take nothing more; what was taken is answered to its end."""
        with self._change:
            self._draining = True
            self._change.notify()

    def hand_over(self) -> None:
        """`drain`, and pass on what was not begun: behind those that end here it would wait while two engines share the
        machine."""
        with self._change:
            self._draining = True
            passed_on = [answer for answer in self._waiting if answer.of_anyone]
            self._waiting = deque(answer for answer in self._waiting if not answer.of_anyone)
            self._change.notify()
        for answer in passed_on:
            answer.receive(Ended("passed on"))

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the last answer after `drain`. False: it is not there yet."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            try:
                if not self._admit():
                    return
                for answer, piece in self._go_on():
                    answer.receive(piece)
            except Exception as error:  # memory, most likely: whoever was under way has to hear of it
                self._fail(f"{type(error).__name__}: {error}")

    def _admit(self) -> bool:
        """Let the next ones in, where there is room; wait where there is nothing to do. False: all is done."""
        with self._change:
            while not (self._waiting or self._reading or self._going):
                if self._draining:
                    return False
                self._change.wait()
            while self._waiting and self._batch.has_room:
                answer = self._waiting.popleft()
                if not answer.given_up:
                    self._reading.append(answer)
                    self._batch.begin(answer.prompt)
        return True

    def _go_on(self) -> list[tuple[Answer, Piece]]:
        """What the answers say next. Those at their end leave, and those that nobody listens to any more."""
        for number in reversed(range(len(self._reading))):
            if self._reading[number].given_up:
                self._batch.give_up(number)
                del self._reading[number]
        for place in reversed(range(len(self._going))):
            if self._going[place].given_up:
                self._leave(place)
        if not (self._reading or self._going):
            return []
        logits = self._batch.go_on([answer.said[-1] for answer in self._going]).cpu()
        whole = len(logits) - len(self._going)
        self._going, self._reading = self._going + self._reading[:whole], self._reading[whole:]
        told: list[tuple[Answer, Piece]] = []
        for place, likeliest in reversed([*enumerate(logits.argmax(-1).tolist())]):
            answer = self._going[place]
            try:
                piece = answer.go_on(logits[place], likeliest, self._end)
            except Exception as error:  # what others have said in this pass is theirs, and has to be told
                piece = Ended("failed", f"{type(error).__name__}: {error}")
            told.append((answer, piece))
            if isinstance(piece, Said) and len(answer.said) == answer.limit:
                piece = Ended("length")
                told.append((answer, piece))
            if isinstance(piece, Ended):
                self._leave(place, spoilt=piece.reason == "failed")
        return told

    def _leave(self, place: int, *, spoilt: bool = False) -> None:
        self._batch.leave(place, spoilt=spoilt)
        self._going[place] = self._going[-1]
        self._going.pop()

    def _fail(self, problem: str) -> None:
        """End what was begun, and begin anew with what waits: what one pass could not do the next one may."""
        with self._change:
            left = [*self._going, *self._reading]
            self._going, self._reading = [], []
            self._batch = ContinuousBatch(self._decoder, self._batch.rows)
        for answer in left:
            answer.receive(Ended("failed", problem))
