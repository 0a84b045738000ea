"""What the tests of founders read: tiny GGUF files, and strings from every corner of Unicode."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from torch import Tensor

SCRIPTS = [
    (0x20, 0x7E), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x58F),
    (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xB80, 0xBFF), (0xE00, 0xE7F),
    (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1780, 0x17FF),
    (0x2000, 0x206F), (0x2070, 0x20CF), (0x2100, 0x218F), (0x2190, 0x23FF), (0x2460, 0x24FF),
    (0x2600, 0x27BF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
    (0xFF00, 0xFFEF), (0x10000, 0x100FF), (0x1D400, 0x1D7FF), (0x1F300, 0x1F6FF),
    (0x1F900, 0x1F9FF), (0x20000, 0x200FF),
]  # fmt: skip
WORDS = [
    "the", "of", "and", "lighthouse", "Gull", "Rock", "keeper's", "they'll", "I'M", "don't",
    "we've", "HE'S", "return", "self.value", "def", "print(", ")", "=>", "!=", "::", "__init__",
    "123", "4567890", "3.14", "½", "²", "Ⅳ", "٣٤", "五", "naïve", "Straße", "Łódź", "привет",
    "мир", "こんにちは", "世界", "안녕", "שלום", "مرحبا", "नमस्ते", "สวัสดี", "ሰላም", "😀", "👨‍👩‍👧", "🇩🇪",
    "👍🏽", "e\u0301", "<|im_start|>", "<|endoftext|>", "<|im_end|>", "<s>", "</s>", "<unk>",
    "<0x0A>", "<tool>", "<<<", "▁", "'", "''", "'s", "'S", "'Re",
]  # fmt: skip
SPACES = [*"   \n\t\x0b\x85\u00a0\u2003\u3000", "", "  ", "   ", "\n\n", "\r\n", "\t\t  ", " \n "]
SIGNS = "()[]{};:+-*/=<>|&%$#@!?~^`\\\"'.,_"


def strings(count: int, seed: int, *, pieces: int = 12) -> list[str]:
    """`count` different kinds of text: one script, words, numbers, any characters, code; all reproducible."""
    chance = random.Random(seed)
    found = ["", " ", "\n", "a", " a", "a "]
    while len(found) < count:
        kind, script = chance.randrange(5), SCRIPTS[len(found) % len(SCRIPTS)]
        text = ""
        for _ in range(chance.randrange(1, pieces)):
            text += _piece(chance, kind, script) + chance.choice(SPACES)
        # Libraries know different versions of Unicode: what is not assigned may be classed differently.
        found.append("".join(letter for letter in text if unicodedata.category(letter) not in ("Cn", "Cs")))
    return found[:count]


def _piece(chance: random.Random, kind: int, script: tuple[int, int]) -> str:
    if kind == 0:
        return "".join(chr(chance.randint(*script)) for _ in range(chance.randrange(1, 6)))
    if kind == 1:
        return chance.choice(WORDS)
    if kind == 2:
        return str(chance.randrange(10 ** chance.randrange(1, 12)))
    if kind == 3:
        return chr(chance.randint(*chance.choice(SCRIPTS)))
    return chance.choice([*WORDS[:20], chance.choice(SIGNS) * chance.randrange(1, 5)])


def write_gguf(path: Path, metadata: dict[str, Any], tensors: dict[str, Any]) -> Path:
    """A GGUF of these keys and tensors; a tensor is an array (its own type) or (array, quantization)."""
    writer = gguf.GGUFWriter(path, metadata.get("general.architecture", "llama"))
    for key, value in metadata.items():
        if key == "general.architecture":
            continue
        add = {
            bool: writer.add_bool,
            int: writer.add_uint32,
            float: writer.add_float32,
            str: writer.add_string,
        }
        add.get(type(value), writer.add_array)(key, value)
    for name, tensor in tensors.items():
        array, kind = tensor if isinstance(tensor, tuple) else (tensor, None)
        stored = array if kind is None else gguf.quants.quantize(array, kind)
        writer.add_tensor(name, stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


BYTE_LETTERS = [chr(n) for n in [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100), *range(0x100, 0x144)]]


def byte_level_metadata(pre: str = "smollm") -> dict[str, Any]:
    """A vocabulary of the 256 bytes, three control tokens, one user-defined token and two merges."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>"]
    tokens = [*special, *BYTE_LETTERS, "Ġt", "he"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3, 3, 3, 4] + [1] * (len(tokens) - 4),
        "tokenizer.ggml.merges": ["Ġ t", "h e"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def llama_metadata(config: Any) -> dict[str, Any]:
    """The GGUF keys of a transformers LlamaConfig."""
    return {
        "general.architecture": "llama",
        "llama.block_count": config.num_hidden_layers,
        "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size,
        "llama.feed_forward_length": config.intermediate_size,
        "llama.attention.head_count": config.num_attention_heads,
        "llama.attention.head_count_kv": config.num_key_value_heads,
        "llama.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "llama.rope.freq_base": config.rope_parameters["rope_theta"],
        "llama.rope.dimension_count": config.head_dim,
        "llama.vocab_size": config.vocab_size,
    }


_PARTS = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "model.layers": "blk",
}  # fmt: skip


def llama_tensors(model: Any, kind: gguf.GGMLQuantizationType | None = None) -> dict[str, Any]:
    """A transformers Llama's weights as llama.cpp's converter writes them, matrices as `kind`."""
    heads = {"q": model.config.num_attention_heads, "k": model.config.num_key_value_heads}
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        letter = next((one for one in "qk" if f".{one}_proj." in name), None)
        array = permuted(tensor, heads[letter]) if letter else tensor.numpy()
        for part, short in _PARTS.items():
            name = name.replace(part, short)
        tensors[name] = array if kind is None or array.ndim == 1 else (array, kind)
    return tensors


def permuted(weight: Tensor, heads: int) -> Any:
    """What llama.cpp's convert_hf_to_gguf.py does to a query or key projection."""
    rows = weight.numpy()
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))
