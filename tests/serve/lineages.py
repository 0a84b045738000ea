"""A lineage whose children say different things, made without training: adapters of random numbers, promoted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from germline.checkout import weights
from germline.founding import found
from germline.lineage import ADAPTER, ADAPTER_CONFIG, CONFIG, WEIGHTS, Lineage
from germline.model import weights as model_weights
from germline.model.adapter import LoraConfig, attach
from germline.model.families import read_config
from germline.records import canonical_json
from germline.store import disk, generations, ledger, lock, objects
from germline.store.generations import Manifest
from germline.store.home import Home

RANK = 4
TEXT = "The lamp of the tower is lit at dusk. The keeper walks the stairs, and the gulls are loud at noon. " * 40


def founded(folder: Path) -> Home:
    """A founder of a million random weights."""
    texts = folder / "texts"
    texts.mkdir(parents=True)
    (texts / "tower.md").write_text(TEXT, encoding="utf-8")
    found(folder / "home", "scratch", name="tiny", size="tiny", texts=[texts], on_event=lambda event: None)
    return Home.open(folder / "home")


def grow(home: Home, seed: int, folder: Path, *, strength: float = 0.3) -> str:
    """A promoted child of HEAD whose weights moved by chance; its name."""
    lineage = Lineage.open(home)
    parent = lineage.head
    shape = read_config(lineage.json(lineage.founder_of(parent), CONFIG))
    path = weights(lineage, parent)
    decoder = model_weights.load(shape, path, torch.float32)
    config = LoraConfig(rank=RANK, alpha=RANK)
    chance = torch.Generator().manual_seed(seed)
    factors = {
        name: torch.randn(factor.shape, generator=chance) * strength
        for name, factor in attach(decoder, config.of(shape), seed=seed).items()
    }
    return promote(home, config, factors, folder / str(seed))


def promote(home: Home, config: LoraConfig, factors: Mapping[str, torch.Tensor], folder: Path) -> str:
    """HEAD with an adapter merged into it, as its promoted child; its name."""
    lineage = Lineage.open(home)
    parent = lineage.head
    shape = read_config(lineage.json(lineage.founder_of(parent), CONFIG))
    folder.mkdir(parents=True)
    adapter, merged = folder / "adapter", folder / "merged"
    with adapter.open("wb") as file:
        model_weights.write_tensors(file, factors)
    with merged.open("wb") as file:
        model_weights.merge_file(weights(lineage, parent), adapter, config.scale, file)
    with lock.hold(home):
        files = {ADAPTER: objects.put_file(home, adapter),
                 ADAPTER_CONFIG: objects.put(home, canonical_json(config.of(shape).peft()))}  # fmt: skip
        disk.make_directory(home.cache)
        staged = disk.temporary_path(home.cache)
        with disk.new_file(staged) as file:
            file.write(merged.read_bytes())
        manifest = Manifest(parent=parent.digest, files=files, weights=objects.put_in_cache(home, staged),
                            about={"kind": "child"})  # fmt: skip
        generations.commit(home, manifest)
        number = lineage.next_number
        ledger.append(home, "promoted", manifest.id, number, {"parent": parent.number, "verdict": {}})
    assert WEIGHTS not in files
    return f"g{number}"
