"""The merged weights of a generation: checked by hash, or merged again where the cache has lost them.

Beside them what its line shares with the founder: shape and tokenizer.
"""

from __future__ import annotations

from pathlib import Path

from germline.errors import StoreDamaged
from germline.lineage import ADAPTER, ADAPTER_CONFIG, CONFIG, TOKENIZER, Generation, Lineage
from germline.model.adapter import LoraConfig
from germline.model.families import end_id, read_config
from germline.model.shape import DecoderConfig
from germline.model.weights import merge_file
from germline.store import disk, objects
from germline.tokenizer.text import Tokenizer


def weights(lineage: Lineage, generation: Generation) -> Path:
    """The merged weights of a generation, checked by hash before they are handed out.

    A founder's are an object. A child's are a cache: where they are missing they are merged again from the
    parent's and the adapter, byte for byte, and anything else than the recorded hash is StoreDamaged.
    """
    return lineage.weights_at_hand(generation) or _rebuild(lineage, generation)


def shape_of(lineage: Lineage, generation: Generation) -> DecoderConfig:
    """The shape that a whole line shares: its founder's."""
    return read_config(lineage.json(lineage.founder_of(generation), CONFIG))


def tokenizer_of(lineage: Lineage, generation: Generation) -> Tokenizer:
    """The tokenizer that a whole line shares: its founder's."""
    founder = lineage.founder_of(generation)
    return Tokenizer.from_json(lineage.read(founder, TOKENIZER), eos_id=end_id(lineage.json(founder, CONFIG)))


def scale_of(lineage: Lineage, generation: Generation) -> float:
    """What a child's low-rank updates are multiplied by when they are merged."""
    config = lineage.json(generation, ADAPTER_CONFIG)
    return LoraConfig(rank=config["r"], alpha=config["lora_alpha"]).scale


def _rebuild(lineage: Lineage, generation: Generation) -> Path:
    assert generation.manifest.parent is not None
    parent = weights(lineage, lineage.generation(generation.manifest.parent))
    disk.make_directory(lineage.home.cache)
    staged = disk.temporary_path(lineage.home.cache)
    lineage.read(generation, ADAPTER)  # re-hashed before it is trusted
    with disk.new_file(staged) as file:
        merge_file(parent, lineage.path(generation, ADAPTER), scale_of(lineage, generation), file)
    made = objects.hash_file(staged)
    if made != generation.manifest.weights:
        disk.remove(staged)
        raise StoreDamaged(
            f"{generation.name}: its adapter, merged again, does not give the weights it was born with",
            hint="germline verify",
        )
    objects.put_in_cache(lineage.home, staged)
    return objects.place(lineage.home.cache, made.digest)
