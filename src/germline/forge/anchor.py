"""What a child goes on saying as its founder did: texts of no concern, and how the founder would go on at each place.

A small model that is taught a few facts at the rates it takes forgets how to speak of anything else: one generation
of 40 facts raised the bits per byte of an encyclopedia from 0.93 to 1.43. So every step also reads an anchor text, and
is held to the founder's own predictions there, all of the vocabulary at once (KL divergence; Hinton et al., arXiv
1503.02531). To the founder's, not the parent's: what is small each time adds up. The predictions are kept as the
founder's last hidden states, 1 KB a token instead of 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from germline.model.decoder import Decoder
from germline.model.rows import Batch, Text, pack, predict
from germline.ops.loss import divergence_sum

TEXTS, TOKENS = 768, 128
"""Most texts of an anchor, and most tokens of each: so many fill one row of those that short texts are dealt into."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Batches of one step each, taken in turn, with the founder's hidden states [N, D] where they predict, which wait
    in the machine's memory."""

    batches: tuple[Batch, ...]
    wanted: tuple[Tensor, ...]
    output_weight: Tensor
    """The founder's, [V, D]."""
    weight: float
    """Of this loss beside that of the lesson: both are means over the tokens they count."""

    def tokens(self, first: int, last: int) -> int:
        """Tokens that the steps from `first` on and before `last` read of it."""
        sizes = [batch.real_tokens for batch in self.batches]
        rounds, rest = divmod(last - first, len(sizes))
        return rounds * sum(sizes) + sum(sizes[(first + step) % len(sizes)] for step in range(rest))

    def batch(self, step: int) -> Batch:
        """What this step reads of it."""
        return self.batches[step % len(self.batches)]

    def loss(self, decoder: Decoder, hidden: Tensor, step: int) -> Tensor:
        """Mean KL(founder || decoder), nats, times its weight, where `predict` found `hidden` [N, D] in that batch."""
        wanted = self.wanted[step % len(self.batches)].to(hidden.device)
        total = divergence_sum(hidden, decoder.output_weight, wanted, self.output_weight, decoder.config.logit_softcap)
        return total * (self.weight / len(hidden))


@torch.no_grad()
def anchored(
    founder: Decoder, texts: Sequence[Sequence[int]], *, batch_tokens: int, weight: float, steps: int
) -> Anchor:
    """An anchor of `texts` (token ids, at least two each), of about `batch_tokens` a step, padding included. Texts
    that so many steps do not come to are left out, unpredicted."""
    batches: list[Batch] = []
    waiting: list[Text] = []
    for tokens in texts:
        text = Text(tuple(tokens), (True,) * len(tokens))
        if waiting and (len(waiting) + 1) * max(map(len, [*waiting, text])) > batch_tokens:
            batches.append(pack([[one] for one in waiting], max(map(len, waiting))))
            waiting = []
        waiting.append(text)
    if waiting:
        batches.append(pack([[one] for one in waiting], max(map(len, waiting))))
    met = tuple(batches[:steps])
    wanted = tuple(predict(founder, batch)[0].cpu() for batch in met)
    return Anchor(met, wanted, founder.output_weight.detach().to(founder.device, founder.dtype), weight)
