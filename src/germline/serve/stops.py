"""From tokens to text that may be shown: whole characters, and nothing of what a stop sequence cuts off."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class StopFilter:
    """Takes an answer's tokens one at a time. Text that might turn out to begin a stop sequence is held back."""

    def __init__(self, spell: Callable[[int], str], stops: Sequence[str]) -> None:
        """`spell` gives what each token adds to the text (`Tokenizer.speller`); stops are not empty."""
        self._spell, self._stops = spell, tuple(stops)
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """What can be shown now. Once `stopped`, nothing more may be added."""
        self._held += self._spell(token)
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._shown(min(found))
        return self._shown(len(self._held) - max((self._begun(stop) for stop in self._stops), default=0))

    def rest(self) -> str:
        """What was held back, once the answer has ended."""
        return "" if self.stopped else self._shown(len(self._held))

    def _shown(self, length: int) -> str:
        shown, self._held = self._held[:length], self._held[length:]
        return shown

    def _begun(self, stop: str) -> int:
        """How many of the last characters are the first of `stop`."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
