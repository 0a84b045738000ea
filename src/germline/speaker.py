"""A generation that can be spoken to: its weights loaded, its tokenizer beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from germline.checkout import shape_of, tokenizer_of, weights
from germline.curriculum.render import prompt
from germline.evals.suite import Examinee
from germline.forge.allowance import total_bytes
from germline.forge.machine import Arithmetic, arithmetic, free_bytes, machine
from germline.lineage import CONFIG, Generation, Lineage
from germline.model import weights as model_weights
from germline.model.decoder import Decoder
from germline.model.generate import KEPT, Sampling, latest, stream
from germline.model.shape import DecoderConfig
from germline.records import Turn
from germline.settings import Plan, load_plan
from germline.store.home import Home
from germline.tokenizer.text import Tokenizer

LAID_OUT_SHARE = 4
"""Weights of up to a quarter of the machine's memory are laid out for answers."""
BESIDE, BESIDE_ON_GPU = 1 << 30, KEPT * 3 // 2
"""Bytes of what is free that are left for what answering holds beside the weights. Of a GPU all of what is asked for is
taken, and while it grows half of it twice."""


def usual_arithmetic(home: Home) -> Arithmetic:
    """What a generation answers in where nobody trains: as the home's plan has it, where there is one."""
    training = (load_plan(home.plan) if home.plan.exists() else Plan()).training
    return arithmetic(training, machine(training.device))[0]


def answering(config: DecoderConfig, path: Path, on: Arithmetic) -> Decoder:
    """The weights in `path`, to answer with. Where they are small beside this machine's memory they are laid out for
    that, which takes a copy (`Decoder.lay_out`). Where they would not fit into what is free, in that dtype on that
    device, they stay in the file and are brought in for one product at a time: an exam takes longer, and ends."""
    size, on_gpu = config.parameters * on.dtype.itemsize, on.device == "cuda"
    # Of all memory, not of what is free: in fp32 another layout rounds otherwise, and one machine must not do both.
    if not on_gpu and size * LAID_OUT_SHARE <= total_bytes():
        return model_weights.load(config, path, on.dtype).lay_out()
    in_file = size + (BESIDE_ON_GPU if on_gpu else BESIDE) > free_bytes(on.device)
    return model_weights.load(config, path, on.dtype, device=on.device, in_file=in_file)


def examinee(lineage: Lineage, generation: Generation, path: Path, on: Arithmetic) -> Examinee:
    """The weights in `path`, of `generation` or a child of it, ready to sit an exam in that arithmetic."""
    tokenizer, decoder = tokenizer_of(lineage, generation), answering(shape_of(lineage, generation), path, on)
    return Examinee(decoder=decoder, tokenize=tokenizer.encode, detokenize=tokenizer.decode, end=tokenizer.eos_id)


@dataclass(frozen=True, slots=True)
class Speaker:
    decoder: Decoder
    tokenizer: Tokenizer
    bos_id: int | None = None
    """What a template calls `bos_token`, where the founder's config has one. Raw prompts have none, but what opens
    every text (`DecoderConfig.opening`)."""
    ends: frozenset[int] = frozenset()
    """All that the founder's config says end an answer. What a generation was taught ends with the first of them."""

    @classmethod
    def of(cls, lineage: Lineage, generation: Generation, on: Arithmetic) -> Speaker:
        decoder = answering(shape_of(lineage, generation), weights(lineage, generation), on)
        config = lineage.json(lineage.founder_of(generation), CONFIG)
        named = config["eos_token_id"]
        ends = frozenset(named if isinstance(named, list) else [named])
        return cls(decoder, tokenizer_of(lineage, generation), config.get("bos_token_id"), ends)

    def ids(self, turns: Sequence[Turn]) -> list[int]:
        """A conversation that ends with the other side, as training rendered it: raw, no template."""
        ids = []
        for turn in turns:
            ids += self.tokenizer.encode(prompt([turn]))
            ids += [self.tokenizer.eos_id] if turn.speaker == "persona" else []
        return ids

    def stream(self, turns: Sequence[Turn], *, limit: int, sampling: Sampling | None = None) -> Iterator[str]:
        """The persona's answer to a conversation that ends with the other side, piece by piece.

        Pieces are whole characters; joined they are the answer. The oldest part is left unread where the
        conversation and so long an answer outgrow the model's context.
        """
        ids = latest(self.ids(turns), limit, self.decoder.config.room)
        spell = self.tokenizer.speller()
        for _, token in stream(self.decoder, [ids], limit=limit, end=self.tokenizer.eos_id, sampling=sampling, rows=1):
            if piece := spell(token):
                yield piece
