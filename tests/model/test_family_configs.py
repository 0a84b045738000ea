"""Configs by themselves: read as transformers reads them, or refused with the reason."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from germline.errors import ModelError
from germline.model.families import read_config
from germline.model.founder import keep_config
from germline.model.rope import Longrope

FULL, NEAR = "full_attention", "sliding_attention"


def test_configs_as_transformers_4_wrote_them() -> None:
    """Read as transformers reads them, defaults included: which layers are windowed, and how they turn."""
    for name, raw in PUBLISHED.items():
        shape, known = read_config(keep_config(raw, Path(name))), AutoConfig.for_model(**deepcopy(raw))
        types = getattr(known, "layer_types", None) or [NEAR if known.sliding_window else FULL] * len(shape.kinds)
        assert [kind.windowed for kind in shape.kinds] == [kind == NEAR for kind in types], name
        assert shape.window == (known.sliding_window if NEAR in types else None), name
        assert (shape.key_value_heads, shape.norm_epsilon) == (known.num_key_value_heads, known.rms_norm_eps), name
        assert read_config(raw) == shape, name
    phi, gemma = (read_config(PUBLISHED[name]) for name in ("Phi-4-mini", "Gemma 3"))
    (rope,) = phi.ropes
    assert isinstance(rope.scaling, Longrope)
    assert (rope.dims, phi.turning_points) == (96, {4096})
    assert rope.scaling.attention_factor == pytest.approx(1.190238, abs=1e-6)
    assert {(kind.windowed, kind.rope and kind.rope.theta) for kind in gemma.kinds} == {(True, 1e4), (False, 1e6)}
    assert (gemma.opening, phi.opening) == ((2,), ()) and gemma.room == gemma.max_positions - 1
    first = {**PUBLISHED["Phi-4-mini"], "rope_scaling": {**PUBLISHED["Phi-4-mini"]["rope_scaling"], "type": "su"}}
    assert read_config(first) == phi
    nope = read_config(PUBLISHED["SmolLM3"])
    assert [index for index, kind in enumerate(nope.kinds) if kind.rope is None] == [3, 7]


BIG = {
    "hidden_size": 1024, "intermediate_size": 2048, "num_attention_heads": 8, "num_hidden_layers": 8, "vocab_size": 9,
}  # fmt: skip
PUBLISHED: dict[str, dict[str, Any]] = {
    "Mistral 0.1": {**BIG, "model_type": "mistral", "sliding_window": 4096, "rope_theta": 10000.0},
    "Mistral 0.3": {**BIG, "model_type": "mistral", "sliding_window": None, "rope_theta": 1000000.0},
    "Qwen 2.5": {**BIG, "model_type": "qwen2", "use_sliding_window": False, "sliding_window": 32768,
                 "max_window_layers": 21, "num_key_value_heads": 2},
    "Qwen 2.5 windows": {**BIG, "model_type": "qwen2", "use_sliding_window": True, "sliding_window": 32,
                         "max_window_layers": 6, "num_key_value_heads": 2},
    "SmolLM3": {**BIG, "model_type": "smollm3"},
    "Phi-4-mini": {
        **BIG, "model_type": "phi3", "partial_rotary_factor": 0.75, "max_position_embeddings": 131072,
        "original_max_position_embeddings": 4096, "sliding_window": 262144, "num_key_value_heads": 2,
        "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48},
    },
    "Gemma 2": {**BIG, "model_type": "gemma2", "hidden_act": "gelu_pytorch_tanh", "cache_implementation": "hybrid"},
    "Gemma 3": {**BIG, "model_type": "gemma3_text", "sliding_window": 512, "sliding_window_pattern": 6},
    "Gemma 3 4B": {
        **BIG, "model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "rope_theta": 1e6, "rope_local_base_freq": 1e4, "sliding_window_pattern": 3,
    },
}  # fmt: skip

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a mixture": ({"model_type": "qwen3_moe"}, "does not know the model family 'qwen3_moe'"),
    "pictures": ({"model_type": "gemma3"}, "does not know the model family 'gemma3'"),
    "no name": ({"model_type": ["llama"]}, "does not know the model family"),
    "activation": ({"model_type": "llama", "hidden_act": "relu"}, "the activation 'relu' is not supported"),
    "plain gelu": ({"model_type": "gemma2", "hidden_activation": "gelu"}, "the activation 'gelu' is not"),
    "yarn": ({"model_type": "qwen3", "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "scaling 'yarn' is not"),
    "dynamic": ({"model_type": "llama", "rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic' is not"),
    "phi linear": ({"model_type": "phi3", "rope_scaling": {"type": "linear", "factor": 2.0}}, "'linear' is not"),
    "near yarn": (
        {"model_type": "gemma3_text", "rope_parameters": {FULL: {}, NEAR: {"rope_type": "yarn"}}}, "in sliding layers"
    ),
    "per layer": ({"model_type": "qwen3", "rope_parameters": {FULL: {}, NEAR: {}}}, "differ between layers"),
    "part of a head": ({"model_type": "llama", "partial_rotary_factor": 0.5}, "for phi3 alone"),
    "factors": (
        {"model_type": "phi3", "rope_scaling": {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}},
        "1 and 1 factors for 128 rotary",
    ),
    "both ways": ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "use_bidirectional_attention"),
    "no beginning": ({"model_type": "gemma2", "bos_token_id": -1}, "bos_token_id -1 is no id"),
    "gemma3 softcap": ({"model_type": "gemma3_text", "attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
    "chunks": ({"model_type": "qwen3", "layer_types": ["chunked_attention"] * 8}, "layer_types must be 8 times"),
    "too few types": ({"model_type": "qwen2", "layer_types": [FULL] * 7}, "layer_types must be 8 times"),
    "no window": ({"model_type": "qwen2", "layer_types": [NEAR] * 8}, "the window of tokens that they see is None"),
    "unlike layers": ({"model_type": "mistral", "layer_types": [NEAR, FULL] * 4}, "say otherwise than sliding_window"),
    "no number": ({"model_type": "llama", "num_attention_heads": "many"}, "cannot be followed"),
    "no heads": ({"model_type": "llama", "num_attention_heads": 0}, "cannot be followed"),
    "no turn": ({"model_type": "llama", "rope_theta": 0}, "nothing can turn by it"),
    "turned back": ({"model_type": "llama", "rope_theta": -5.0}, "nothing can turn by it"),
    "no factor": ({"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 0}}, "nothing can turn by it"),
    "one wavelength": (
        {"model_type": "llama", "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }},
        "nothing can turn by it",
    ),
    "epsilon": ({"model_type": "llama", "rms_norm_eps": -1.0}, "its epsilon is below 0"),
    "few NoPE": ({"model_type": "smollm3", "no_rope_layers": [1, 0]}, "cannot be followed"),
    "bits": ({"model_type": "gemma2", "quantization_config": {"bits": 4}}, "a quantized model cannot be a founder"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_implemented_is_refused(case: str) -> None:
    change, words = REFUSED[case]
    with pytest.raises(ModelError) as failure:
        read_config(keep_config({**BIG, **change}, Path("here/config.json")), source="here/config.json")
    assert words in failure.value.message and failure.value.message.startswith("here/config.json: ")
