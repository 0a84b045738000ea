"""What an export is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
from torch import Tensor

from germline.model import weights
from germline.model.families import end_id, read_config
from germline.model.shape import DecoderConfig
from germline.tokenizer.text import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Source:
    """One generation, whole: what any of the formats needs, and where it comes from."""

    config: Mapping[str, Any]
    """A Hugging Face config.json, as the founder keeps it."""
    tokenizer_json: bytes
    weights: Path
    """The merged master, safetensors."""
    name: str
    """Of lineage and generation, for people: `Keeper g3`."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What the file shall say of itself: lineage, generation, hashes, license."""

    @cached_property
    def shape(self) -> DecoderConfig:
        return read_config(self.config)

    @cached_property
    def end(self) -> int:
        """The id that ends a document."""
        return end_id(self.config)

    @property
    def end_name(self) -> str:
        """What the token that ends a document is called."""
        return str(tokenizers.Tokenizer.from_str(self.tokenizer_json.decode()).id_to_token(self.end))

    @cached_property
    def added(self) -> dict[int, tokenizers.AddedToken]:
        """Tokens that are looked for in a text before it is cut into words, by id; special ones only where asked."""
        backend = tokenizers.Tokenizer.from_str(self.tokenizer_json.decode())
        return dict(sorted(backend.get_added_tokens_decoder().items()))

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_json(self.tokenizer_json, eos_id=self.end)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        return weights.read(self.weights)
