"""What all generations of a lineage are held to their founder on: texts that the founder wrote itself.

Each generation inherits its parent's and has the founder say some more, until there are enough: what few texts hold is
learned by heart in a few generations, and stands for nothing then (LOG.md). No corpus need be shipped or trusted, they
suit any model and language, and what a model is likely to say is where it is worth keeping.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from germline import foreign
from germline.errors import TrainingError
from germline.forge.anchor import TEXTS, TOKENS, Anchor, anchored
from germline.forge.machine import Arithmetic
from germline.lineage import ANCHOR, Lineage
from germline.model.generate import Sampling, generate
from germline.records import Event, OnEvent, canonical_json
from germline.run import LARGEST, Run
from germline.settings import Training
from germline.speaker import Speaker
from germline.store import disk

NEW, AT_ONCE = 192, 96
"""A generation has NEW texts said, so many side by side, where it inherits fewer than TEXTS."""
SAMPLING = Sampling(temperature=1.0, top_p=1.0)
Ids = list[list[int]]


def texts(lineage: Lineage, run: Run, on: Arithmetic, on_event: OnEvent) -> Ids:
    """The anchor texts of a generation: its parent's, and what the founder says now. Kept in the run."""
    kept = run.directory / ANCHOR
    if not run.plan.training.anchor:
        return []
    if not kept.exists():
        inherited = lineage.json(run.parent, ANCHOR) if ANCHOR in run.parent.manifest.files else []
        spoken = _spoken(lineage, run, on, on_event) if len(inherited) < TEXTS else []
        disk.replace(kept, canonical_json([*inherited, *spoken]))
    return [list(map(int, ids)) for ids in json.loads(foreign.read(kept, LARGEST))]


def anchor(lineage: Lineage, run: Run, ids: Ids, training: Training, on: Arithmetic, *, steps: int) -> Anchor | None:
    """The founder's predictions on these texts, for so many steps; None where there are no texts."""
    if not ids:
        return None
    founder = Speaker.of(lineage, lineage.founder_of(run.parent), on)
    dealt_out = dealt(ids, run.number, founder.decoder.config.opening)
    batch, weight = training.anchor_tokens, training.anchor
    return anchored(founder.decoder, dealt_out, batch_tokens=batch, weight=weight, steps=steps)


def dealt(texts: Ids, generation: int, opening: Sequence[int] = ()) -> Ids:
    """In an order of that generation's own: what one does not come to in its steps, another meets.

    Every other text is cut short of the EOS that begins it. Held to its founder where a text begins with EOS alone, a
    child drifted by 0.3% there and by 1.4% where one begins with its first word, as prompts do (LOG.md). Not where an
    `opening` stands before prompts, too.
    """
    order = sorted(range(len(texts)), key=lambda place: hashlib.sha256(f"{generation}:{place}".encode()).digest())
    cut = (texts[place][0 if opening else turn % 2 :][:TOKENS] for turn, place in enumerate(order))
    return [ids for ids in cut if len(ids) > 1]


def _spoken(lineage: Lineage, run: Run, on: Arithmetic, on_event: OnEvent) -> Ids:
    founder = lineage.founder_of(run.parent)
    on_event(Event(kind="stage", text=f"{founder.name} says {NEW} things that its descendants are to go on saying"))
    speaker = Speaker.of(lineage, founder, on)
    end, sampling = speaker.tokenizer.eos_id, replace(SAMPLING, seed=TEXTS * run.number)
    start = [*speaker.decoder.config.opening] or [end]
    said = generate(speaker.decoder, [start] * NEW, limit=TOKENS, end=end, sampling=sampling, rows=AT_ONCE)
    if not any(said):
        hint = "germline evolve --restart --set training.anchor=0"
        raise TrainingError(f"{founder.name} says nothing that could be an anchor", hint=hint)
    return [[*start, *ids] for ids in said if ids]
