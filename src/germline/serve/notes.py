"""What the server writes into the book of karma: which answers were given, and what people thought of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Any

from germline.karma.book import Book
from germline.serve.requests import Feedback
from germline.store.home import Home


class Notes:
    """`keep`: whether words are kept, or only that there was an answer."""

    def __init__(self, home: Home, *, keep: bool) -> None:
        self._book, self._keep = Book(home), keep

    def of(self, asked: Sequence[dict[str, str]] | None) -> Callable[[str, str, str], None]:
        """Takes id, generation and text of the answer to `asked`; None: to no conversation."""

        def remember(name: str, generation: str, text: str) -> None:
            kept = [*asked, {"role": "assistant", "content": text}] if asked is not None and self._keep else None
            self._book.remember(name, generation, kept)

        return remember

    def rate(self, told: Feedback) -> dict[str, Any]:
        """Write it down, durably. Unknown for an answer that was not given here, Conflict for a key used otherwise."""
        made = self._book.feedback(told.id, told.score, correction=told.correction, source=told.source,
                                   key=told.key or token_hex(16))  # fmt: skip
        return {"id": told.id, "event": made.sequence, "score": made.points}

    def close(self) -> None:
        self._book.close()
