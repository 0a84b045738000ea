"""The decoder: a Llama in plain PyTorch, one set of weights, used alike to train, examine and answer.

Shapes: B rows, T tokens in this call, S tokens visible (T without a cache), H heads, K key/value heads,
D hidden, E head size, V vocabulary. Parameter names are Hugging Face's, so a state dict is a checkpoint.
Matrix products run in the weights' dtype; norms and softmax run in fp32.

References: Llama 2 (arXiv 2307.09288), RoPE (2104.09864), GQA (2305.13245), SwiGLU (2002.05202).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from germline.model.families import DecoderConfig


class Linear(nn.Module):
    """`x W^T + b`, plus `scale * x A^T B^T` while an adapter is attached.

    weight [out, in] is never trained. lora_A [rank, in] and lora_B [out, rank] are fp32 masters, cast to
    the weight's dtype for each product. The low-rank part is added inside the second product (addmm), so
    no full-size temporary is written for it.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, dtype=dtype), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs, dtype=dtype), requires_grad=False) if bias else None
        self.lora_A: nn.Parameter | None = None
        self.lora_B: nn.Parameter | None = None
        self.lora_scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        if self.lora_A is None or self.lora_B is None:
            return y
        low = F.linear(x, self.lora_A.to(x.dtype) * self.lora_scale)
        flat = torch.addmm(y.flatten(0, -2), low.flatten(0, -2), self.lora_B.to(x.dtype).t())
        return flat.view_as(y)


class Norm(nn.Module):
    """RMSNorm: x / rms(x) * weight, the mean square taken in fp32."""

    def __init__(self, hidden: int, epsilon: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hidden, dtype=dtype), requires_grad=False)
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight * wide.to(x.dtype)


class Cache:
    """Keys and values of the tokens already read: [layers, 2, B, K, capacity, E], filled from the left."""

    def __init__(self, config: DecoderConfig, rows: int, capacity: int, dtype: torch.dtype) -> None:
        shape = (config.layers, 2, rows, config.key_value_heads, capacity, config.head_size)
        self.state = torch.empty(shape, dtype=dtype)
        self.length = 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append this call's keys and values [B, K, T, E]; returns all of them [B, K, S, E]."""
        end = self.length + key.shape[2]
        self.state[layer, 0, :, :, self.length : end] = key
        self.state[layer, 1, :, :, self.length : end] = value
        return self.state[layer, 0, :, :, :end], self.state[layer, 1, :, :, :end]


class Attention(nn.Module):
    def __init__(self, config: DecoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        query, pair = config.heads * config.head_size, config.key_value_heads * config.head_size
        bias = config.attention_bias
        self.q_proj = Linear(config.hidden, query, bias=bias, dtype=dtype)
        self.k_proj = Linear(config.hidden, pair, bias=bias, dtype=dtype)
        self.v_proj = Linear(config.hidden, pair, bias=bias, dtype=dtype)
        self.o_proj = Linear(query, config.hidden, bias=bias, dtype=dtype)
        self.heads, self.groups, self.head_size = config.heads, config.key_value_heads, config.head_size

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor, layer: int, cache: Cache | None
    ) -> Tensor:
        rows, length, _ = x.shape
        query = self.q_proj(x).view(rows, length, self.heads, self.head_size).transpose(1, 2)
        key = self.k_proj(x).view(rows, length, self.groups, self.head_size).transpose(1, 2)
        value = self.v_proj(x).view(rows, length, self.groups, self.head_size).transpose(1, 2)
        query, key = rotate(query, rotation), rotate(key, rotation)
        if cache is not None:
            key, value = cache.extend(layer, key, value)
        mixed = attend(query, key, value, mask)
        output: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(rows, length, -1))
        return output


class FeedForward(nn.Module):
    def __init__(self, config: DecoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        bias = config.mlp_bias
        self.gate_proj = Linear(config.hidden, config.intermediate, bias=bias, dtype=dtype)
        self.up_proj = Linear(config.hidden, config.intermediate, bias=bias, dtype=dtype)
        self.down_proj = Linear(config.intermediate, config.hidden, bias=bias, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return output


class Layer(nn.Module):
    def __init__(self, config: DecoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.input_layernorm = Norm(config.hidden, config.norm_epsilon, dtype)
        self.self_attn = Attention(config, dtype)
        self.post_attention_layernorm = Norm(config.hidden, config.norm_epsilon, dtype)
        self.mlp = FeedForward(config, dtype)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor, layer: int, cache: Cache | None
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation, mask, layer, cache)
        output: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return output


class Trunk(nn.Module):
    def __init__(self, config: DecoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.hidden, dtype=dtype)
        self.embed_tokens.weight.requires_grad_(False)
        self.layers = nn.ModuleList(Layer(config, dtype) for _ in range(config.layers))
        self.norm = Norm(config.hidden, config.norm_epsilon, dtype)


class Decoder(nn.Module):
    """Made empty: fill it with `weights.load`. All weights are frozen; only adapters train."""

    def __init__(self, config: DecoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config, dtype)
        if not config.tied_embeddings:
            self.lm_head = Linear(config.hidden, config.vocabulary, bias=False, dtype=dtype)

    @property
    def output_weight(self) -> Tensor:
        """[V, D]: what turns hidden states into logits."""
        tied = self.config.tied_embeddings
        return self.model.embed_tokens.weight if tied else self.lm_head.weight

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor, cache: Cache | None = None) -> Tensor:
        """Final hidden states [B, T, D] (normed) for tokens and positions [B, T] (int64).

        `mask` is additive [B, 1, T, S] in the weights' dtype: 0 where a token may look, -inf where not;
        see `visible`. With a cache, S counts the tokens already in it, and the cache grows by T.
        """
        x: Tensor = self.model.embed_tokens(tokens)
        rotation = rotation_table(self.config, positions, x.dtype)
        for index, layer in enumerate(self.model.layers):
            x = layer(x, rotation, mask, index, cache)
        if cache is not None:
            cache.length += tokens.shape[1]
        hidden: Tensor = self.model.norm(x)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., V] in the weights' dtype for hidden states [..., D]."""
        return F.linear(hidden, self.output_weight)


def visible(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """The additive mask [B, 1, T, S] for a boolean one [B, T, S] that is True where a token may look."""
    mask = torch.zeros(allowed.shape, dtype=dtype)
    return mask.masked_fill_(~allowed, -math.inf).unsqueeze(1)


def causal_within(segments: Tensor) -> Tensor:
    """Boolean [B, T, T]: a token sees itself and what came before it in its own segment (ids [B, T]).

    This is what keeps documents that share a row strangers to each other.
    """
    length = segments.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    return (segments.unsqueeze(2) == segments.unsqueeze(1)) & earlier


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention [B, H, T, E] of query [B, H, T, E] over key and value [B, K, S, E].

    The heads that share a key are stacked into one tall product, so grouped keys are never repeated.
    Explicit products rather than `F.scaled_dot_product_attention`: on a CPU in bf16 that kernel's
    backward leaves the matrix units idle (rows of 128: forward + backward 38 ms against 14 ms here;
    rows of 512: 66 against 46; see LOG.md). Scores are kept in the weights' dtype.
    """
    rows, heads, length, size = query.shape
    groups, seen = key.shape[1], key.shape[2]
    stacked = query.reshape(rows * groups, heads // groups * length, size) * (1 / math.sqrt(size))
    scores = torch.bmm(stacked, key.reshape(rows * groups, seen, size).transpose(1, 2))
    weights = torch.softmax(scores.view(rows, heads, length, seen) + mask, dim=-1)
    mixed = torch.bmm(weights.view(rows * groups, -1, seen), value.reshape(rows * groups, seen, size))
    return mixed.view(rows, heads, length, size)


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """RoPE on [B, H, T, E]: the two halves of each head turn by the position's angles."""
    cosine, sine = rotation
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


def rotation_table(config: DecoderConfig, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines [B, 1, T, E] for positions [B, T], computed in fp32 as the reference does."""
    angles = positions.unsqueeze(-1).float() * inverse_frequencies(config)
    angles = torch.cat((angles, angles), dim=-1).unsqueeze(1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def inverse_frequencies(config: DecoderConfig) -> Tensor:
    """[E / 2] fp32, with the `llama3` stretching of low frequencies where the config asks for it."""
    exponents = torch.arange(0, config.head_size, 2, dtype=torch.int64).float() / config.head_size
    frequencies = 1.0 / (config.rope_theta**exponents)
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    wavelengths = 2 * math.pi / frequencies
    longest = scaling.original_max_position_embeddings / scaling.low_freq_factor
    shortest = scaling.original_max_position_embeddings / scaling.high_freq_factor
    blend = (scaling.original_max_position_embeddings / wavelengths - scaling.low_freq_factor) / (
        scaling.high_freq_factor - scaling.low_freq_factor
    )
    blended = (1 - blend) * frequencies / scaling.factor + blend * frequencies
    scaled = torch.where(wavelengths > longest, frequencies / scaling.factor, frequencies)
    between = (wavelengths <= longest) & (wavelengths >= shortest)
    return torch.where(between, blended, scaled)
