"""What `forge.memory` counts, beside what is there: what a layer keeps for its backward, and what is attached."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from germline.errors import PlanError
from germline.forge import fit as forge_fit
from germline.forge.fit import fit
from germline.forge.machine import Machine
from germline.forge.memory import Setting, adapter_parameters, kept_by_layer
from germline.model.adapter import LoraConfig, attach
from germline.model.decoder import Decoder
from germline.model.families import FAMILIES, read_config
from germline.model.rows import Text, pack, predict
from germline.model.shape import DecoderConfig
from germline.settings import Training

SHAPE = {
    "hidden_size": 256, "intermediate_size": 768, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64,
    "vocab_size": 300, "query_pre_attn_scalar": 64, "sliding_window": 4096,
}  # fmt: skip
ROW, ROWS = 256, 2


def config(family: str, layers: int, **changes: Any) -> DecoderConfig:
    return read_config({**SHAPE, "model_type": family, "num_hidden_layers": layers, **changes})


def saved(shape: DecoderConfig, dtype: torch.dtype) -> float:
    """Bytes that autograd holds after one forward, for each token; parameters are not counted."""
    decoder, random = Decoder(shape, dtype), torch.Generator().manual_seed(0)
    for parameter in decoder.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=random) * 0.02)
    attach(decoder, LoraConfig(rank=16, alpha=32), 0)
    own = {parameter.untyped_storage().data_ptr() for parameter in decoder.parameters()}
    held: dict[int, torch.UntypedStorage] = {}

    def seen(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    batch = pack([[Text((1,) * ROW, (True,) * ROW)]] * ROWS, ROW)
    with torch.autograd.graph.saved_tensors_hooks(seen, lambda tensor: tensor):
        hidden, _ = predict(decoder, batch)
    assert hidden.requires_grad
    return sum(storage.nbytes() for at, storage in held.items() if at not in own) / (ROW * ROWS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_layer_keeps_is_what_is_counted(family: str, dtype: torch.dtype) -> None:
    layer = (saved(config(family, 3), dtype) - saved(config(family, 1), dtype)) / 2
    setting = Setting(bits=None, recomputed_layers=0, micro_tokens=ROW * ROWS, row_tokens=ROW)
    counted = kept_by_layer(config(family, 1), Training(), setting, dtype.itemsize) * dtype.itemsize
    assert counted == pytest.approx(layer, rel=0.05)


@pytest.mark.parametrize("targets", [("all-linear",), ("all-linear", "o_proj"), ("o_proj", "down_proj")])
@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_an_adapter_is_counted_as_it_is_attached(family: str, targets: tuple[str, ...]) -> None:
    shape = config(family, 2)
    attached = attach(Decoder(shape, torch.float32), LoraConfig(rank=16, alpha=32, targets=targets), 0)
    counted = adapter_parameters(shape, Training(targets=targets))
    assert counted == sum(parameter.numel() for parameter in attached.values())


def test_a_matrix_with_a_rest_is_not_packed_in_blocks() -> None:
    odd = config("llama", 2, hidden_size=90, num_attention_heads=5, num_key_value_heads=5, head_dim=18)
    sizes = {"row_tokens": 128, "batch_tokens": 128}
    here = Machine(cores=1, total_bytes=1 << 40, free_bytes=1 << 40, fast_bf16=True, units="AVX2")
    packed = {setting.bits for setting in forge_fit._settings(odd, Training(), 128, 128)}
    assert packed == {None, "int8"}
    with pytest.raises(PlanError, match="packs 64 weights together") as refusal:
        fit(odd, Training(quantize="nf4"), **sizes, here=here)
    assert "int8" in (refusal.value.hint or "")
