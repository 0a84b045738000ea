"""A new byte-level BPE tokenizer, learned from the owner's text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from germline.errors import DataError, PlanError

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Ids 0, 1 and 2 of every trained tokenizer. The first ends a document."""

LETTERS = 256
"""One token for every byte, so that any text can be encoded."""


def train(texts: Iterable[str], *, vocab_size: int) -> bytes:
    """The bytes of a tokenizer.json trained on `texts`, cut into words as SmolLM's is (digits stand alone).

    The vocabulary has at most `vocab_size` tokens, fewer when the texts hold no more pairs that come twice.
    The same texts in any order give the same bytes, with the same version of the tokenizers library.
    PlanError when `vocab_size` cannot hold the bytes and the special tokens; DataError without any text.
    """
    if vocab_size < LETTERS + len(SPECIAL_TOKENS):
        raise PlanError(f"vocab_size {vocab_size} is too small", hint=f"at least {LETTERS + len(SPECIAL_TOKENS)}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    seen = _Counter(texts)
    tokenizer.train_from_iterator(iter(seen), trainer)
    if not seen.characters:
        hint = "--text names a folder, or files that end in .txt, .md, .json or .jsonl"
        raise DataError("there is no text to train a tokenizer on", hint=hint)
    return tokenizer.to_str().encode("utf-8")


class _Counter:
    """Passes texts on and counts what went by."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = texts
        self.characters = 0

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            self.characters += len(text)
            yield text
