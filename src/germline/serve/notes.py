"""What the server writes into the book of karma: which answers were given, and what people thought of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from typing import Any

from germline.errors import GermlineError
from germline.karma.book import Book
from germline.karma.harvest import CUT
from germline.serve.requests import Feedback
from germline.store.home import Home

BOOK = ThreadPoolExecutor(1, "book")
"""Where the book is written, one after another: another program may hold it, and no question waits for that."""
PATIENCE = 2.0
"""Seconds that an answer or a rating waits for a book that another program holds."""


class Notes:
    """`keep` says whether words are kept, or only that there was an answer.

    It is asked at each answer, because the owner may change their mind while the server runs. Where it cannot tell (a
    plan that is being edited), no words are kept.
    """

    def __init__(self, home: Home, *, keep: Callable[[], bool]) -> None:
        self._book, self._keep = Book(home, patience=PATIENCE), keep
        self.problem = ""
        """Why the last answer is not in the book, and cannot be rated; empty where it is."""

    def of(self, asked: Sequence[dict[str, str]] | None) -> Callable[[str, str, str, str], None]:
        """Takes id, generation and text of the answer to `asked`, and how it ended; None: to no conversation.

        What it takes never raises: an answer that is there is not lost because it cannot be written down (`problem`).
        Nor does it wait for the book while the last answer waited in vain.
        """

        def remember(name: str, generation: str, text: str, ended: str) -> None:
            may = asked is not None and self._may_keep()
            cut = {"ended": ended} if ended == CUT else {}
            kept = [*asked, {"role": "assistant", "content": text, **cut}] if asked is not None and may else None
            try:
                self._book.remember(name, generation, kept, wait=not self.problem)
                self.problem = ""
            except (GermlineError, OSError) as error:
                self.problem = f"the last answer cannot be rated: {error}"

        return remember

    def rate(self, told: Feedback) -> dict[str, Any]:
        """Write it down, durably. Unknown for an answer that was not given here, Conflict for a key used otherwise."""
        made = self._book.feedback(told.id, told.score, correction=told.correction, source=told.source,
                                   key=told.key or token_hex(16))  # fmt: skip
        return {"id": told.id, "event": made.sequence, "score": made.points}

    def close(self) -> None:
        self._book.close()

    def _may_keep(self) -> bool:
        try:
            return self._keep()
        except (GermlineError, OSError):
            return False
