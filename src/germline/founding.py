"""Generation 0: a model from elsewhere becomes the founder of a lineage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from germline.corpus.read import read
from germline.errors import GermlineError, PlanError
from germline.lineage import CONFIG, ORIGIN, TOKENIZER, WEIGHTS, Lineage
from germline.model import weights as model_weights
from germline.model.families import read_config
from germline.model.founder import Founder
from germline.model.founder_scratch import scratch
from germline.model.founder_source import read_founder
from germline.records import Event, OnEvent, Row, canonical_json
from germline.store import disk, generations, ledger, lock, objects, prune
from germline.store.generations import Manifest
from germline.store.home import Home

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
SCRATCH_VOCABULARY = 4096


def found(
    root: Path,
    source: str,
    *,
    name: str,
    on_event: OnEvent,
    dtype: str = "bf16",
    size: str = "tiny",
    texts: Sequence[Path] = (),
    arbiter: str | None = None,
    plan: str = "",
) -> Lineage:
    """Make a lineage in `root` whose g0 is `source`: a model directory, a `.gguf` file, `demo` or `scratch`.

    The weights are stored once, in `dtype`, as the master that every child is merged into. `size` and
    `texts` (what its tokenizer is trained on) are for `scratch` alone. With an `arbiter`, a public key, every
    promotion needs that key too. A founding that was cut short is taken up again by the same call, and so `plan`
    is written before the ledger begins, where there is none.
    """
    founder = _scratch(root, texts, size) if source == "scratch" else read_founder(source)
    config = read_config(founder.config, source=f"{source}: config.json")
    if dtype not in DTYPES:
        raise PlanError(f"no dtype {dtype!r}", hint=f"one of {', '.join(DTYPES)}")
    home = _home(root, name, arbiter)
    with lock.hold(home):
        on_event(Event(kind="stage", text=f"reading {config.parameters / 1e6:.0f}M parameters from {source}"))
        disk.make_directory(home.runs / "g0")
        staged = disk.temporary_path(home.runs / "g0")
        with disk.new_file(staged) as file:
            model_weights.write(file, model_weights.layout(config), founder.tensors(), DTYPES[dtype])
        weights = objects.put_file(home, staged, move=True)
        files = {
            WEIGHTS: weights,
            CONFIG: objects.put(home, canonical_json(founder.config)),
            TOKENIZER: objects.put(home, founder.tokenizer_json),
            ORIGIN: objects.put(home, canonical_json(founder.origin)),
        }
        manifest = Manifest(parent=None, files=files, weights=weights, about={"kind": "founder", "dtype": dtype})
        generation = generations.commit(home, manifest)
        body = {"origin": founder.origin, "parameters": config.parameters}
        if plan and not home.plan.exists():
            disk.replace(home.plan, plan.encode("utf-8"))
        ledger.append(home, "founded", generation, 0, body)
        with suppress(GermlineError):  # it is founded
            prune.sweep(home)  # what a founding from another source stored, that was cut short here
            disk.remove_tree(home.root, home.runs / "g0")
    return Lineage.open(home)


def _home(root: Path, name: str, arbiter: str | None) -> Home:
    """A new home, or one whose founding was cut short before its first ledger entry."""
    if (root / "lineage.json").exists():
        home = Home.open(root)
        if not ledger.witnessed(home):
            if home.charter.keys.get("arbiter") != arbiter:
                raise PlanError(f"{root} was begun with another arbiter", hint="name the same one, or another DIR")
            return home
    return Home.create(root, name, arbiter=arbiter)


def _scratch(root: Path, texts: Sequence[Path], size: str) -> Founder:
    if not texts:
        raise PlanError(
            "a founder from scratch needs text for its tokenizer",
            hint="germline init DIR --from scratch --text PATH",
        )
    rows = read([str(path.resolve()) for path in texts], root.resolve().parent, voice="assistant", strict=True)
    return scratch(_words(rows), size=size, vocab_size=SCRATCH_VOCABULARY, seed=0)


def _words(rows: Iterator[object]) -> Iterator[str]:
    for row in rows:
        if isinstance(row, Row):
            yield "\n".join(row.texts)
