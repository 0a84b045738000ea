"""The decoder in plain PyTorch, one set of weights, used alike to train, examine and answer.

Configured per family by `DecoderConfig`, never subclassed. Shapes: B rows, T tokens in this call, S tokens
visible (T without a cache), H heads, K key/value heads, D hidden, E head size, V vocabulary. Parameter
names are Hugging Face's, so a state dict is a checkpoint. The arithmetic is `germline.ops`: products in the
decoder's dtype, everything between them in fp32.

References: Llama 2 (arXiv 2307.09288), GQA (2305.13245), Gemma 2 (2408.00118), Qwen3 (2505.09388).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from germline.model.rope import Rope, Rotation, rotation
from germline.model.shape import DecoderConfig, LayerKind
from germline.ops import attention, linear
from germline.ops.attention import Visibility
from germline.ops.blocked import Blocked, blocked
from germline.ops.linear import Before, Gate, Identity, Projection
from germline.ops.quantize import Bits, Quantized, quantize


class Linear(nn.Module):
    """A weight [out, in], perhaps a bias, and while an adapter is attached its factors.

    weight is frozen unless `requires_grad` says otherwise; `pack` keeps it in 8 or 4 bits, `lay_out` in blocks.
    lora_A [rank, in] and lora_B [out, rank] are fp32 masters. Layers are run in groups, by `together`.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, dtype=dtype), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs, dtype=dtype), requires_grad=False) if bias else None
        self.lora_A: nn.Parameter | None = None
        self.lora_B: nn.Parameter | None = None
        self.lora_scale = 1.0
        self.packed: Quantized | Blocked | None = None

    def pack(self, bits: Bits) -> None:
        """Keep the weight in 8 or 4 bits from here on; the full one is let go."""
        self._replace(quantize(self.weight.detach(), bits))

    def lay_out(self) -> None:
        """Keep the weight in blocks from here on, where this machine multiplies by them; the plain one is let go."""
        if self.packed is None and (made := blocked(self.weight)):
            self._replace(made)

    def _replace(self, packed: Quantized | Blocked) -> None:
        self.packed = packed
        self.weight = nn.Parameter(torch.empty(self.weight.shape, device="meta"), requires_grad=False)

    def projection(self) -> Projection:
        weight = self.weight if self.packed is None else self.packed
        return Projection(weight, self.bias, self.lora_A, self.lora_B)


def together(layers: Sequence[Linear], before: Before, *raw: Tensor) -> list[Tensor]:
    """The outputs of `layers` on before(raw), as one operation: see `ops.linear.project`."""
    return linear.project(before, raw, [layer.projection() for layer in layers], layers[0].lora_scale)


class Norm(nn.Module):
    """RMSNorm over the last axis, taken in fp32. `before` lets a linear layer take it in."""

    def __init__(self, size: int, config: DecoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size, dtype=dtype), requires_grad=False)
        self.before = linear.Norm(config.norm_epsilon, config.norm_offset)

    def forward(self, x: Tensor) -> Tensor:
        return linear.apply(self.before, (x, self.weight))


class Past(Protocol):
    """Keys and values of tokens already read, which a call reads and adds its own to."""

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append this call's keys and values [B, K, T, E]; returns all of them [B, K, S, E]."""

    def advance(self, tokens: int) -> None:
        """Every layer has appended `tokens`."""


class Cache:
    """A past that grows alike in all rows: state [layers, 2, B, K, capacity, E], filled from the left."""

    def __init__(self, state: Tensor, length: int = 0) -> None:
        self.state, self.length = state, length

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        end = self.length + key.shape[2]
        self.state[layer, 0, :, :, self.length : end] = key
        self.state[layer, 1, :, :, self.length : end] = value
        return self.state[layer, 0, :, :, :end], self.state[layer, 1, :, :, :end]

    def advance(self, tokens: int) -> None:
        self.length += tokens


@dataclass(frozen=True, slots=True)
class Sight:
    """What a call's tokens may look at, in full layers and in windowed ones, and how they turn, per `Rope`."""

    full: Visibility
    windowed: Visibility
    rotations: dict[Rope, Rotation]


class Attention(nn.Module):
    def __init__(self, config: DecoderConfig, kind: LayerKind, dtype: torch.dtype) -> None:
        super().__init__()
        query, pair = config.heads * config.head_size, config.key_value_heads * config.head_size
        bias = config.query_bias
        if config.fused_projections:
            self.qkv_proj = Linear(config.hidden, query + 2 * pair, bias=bias, dtype=dtype)
        else:
            self.q_proj = Linear(config.hidden, query, bias=bias, dtype=dtype)
            self.k_proj = Linear(config.hidden, pair, bias=bias, dtype=dtype)
            self.v_proj = Linear(config.hidden, pair, bias=bias, dtype=dtype)
        self.o_proj = Linear(query, config.hidden, bias=config.output_bias, dtype=dtype)
        if config.query_key_norms:
            self.q_norm = Norm(config.head_size, config, dtype)
            self.k_norm = Norm(config.head_size, config, dtype)
        self.config, self.kind = config, kind

    def forward(self, x: Tensor, norm: Norm, sight: Sight, layer: int, past: Past | None) -> Tensor:
        config = self.config
        query, key, value = (part.view(*x.shape[:2], -1, config.head_size) for part in self._project(x, norm))
        if config.query_key_norms:
            query, key = self.q_norm(query), self.k_norm(key)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        if self.kind.rope is None:
            query, key = (query * config.attention_scale).contiguous(), key.contiguous()
        else:
            turn = sight.rotations[self.kind.rope]
            query = attention.rotate(query, *turn, config.attention_scale)
            key = attention.rotate(key, *turn, 1.0)
        key, value = (key, value.contiguous()) if past is None else past.extend(layer, key, value)
        seen = sight.windowed if self.kind.windowed else sight.full
        mixed = attention.attend(query, key, value, seen, config.attention_softcap)
        return together([self.o_proj], Identity(), mixed.transpose(1, 2).flatten(2))[0]

    def _project(self, x: Tensor, norm: Norm) -> Sequence[Tensor]:
        if not self.config.fused_projections:
            return together([self.q_proj, self.k_proj, self.v_proj], norm.before, x, norm.weight)
        pair = self.config.key_value_heads * self.config.head_size
        fused = together([self.qkv_proj], norm.before, x, norm.weight)[0]
        return torch.split(fused, [fused.shape[-1] - 2 * pair, pair, pair], -1)


class FeedForward(nn.Module):
    def __init__(self, config: DecoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        bias = config.mlp_bias
        if config.fused_projections:
            self.gate_up_proj = Linear(config.hidden, 2 * config.intermediate, bias=bias, dtype=dtype)
        else:
            self.gate_proj = Linear(config.hidden, config.intermediate, bias=bias, dtype=dtype)
            self.up_proj = Linear(config.hidden, config.intermediate, bias=bias, dtype=dtype)
        self.down_proj = Linear(config.intermediate, config.hidden, bias=bias, dtype=dtype)
        self.config, self.gate = config, Gate(config.activation)

    def forward(self, x: Tensor, norm: Norm) -> Tensor:
        if self.config.fused_projections:
            gate, up = together([self.gate_up_proj], norm.before, x, norm.weight)[0].chunk(2, -1)
        else:
            gate, up = together([self.gate_proj, self.up_proj], norm.before, x, norm.weight)
        return together([self.down_proj], self.gate, gate, up)[0]


class Layer(nn.Module):
    def __init__(self, config: DecoderConfig, kind: LayerKind, dtype: torch.dtype) -> None:
        super().__init__()
        self.input_layernorm = Norm(config.hidden, config, dtype)
        self.self_attn = Attention(config, kind, dtype)
        self.post_attention_layernorm = Norm(config.hidden, config, dtype)
        self.mlp = FeedForward(config, dtype)
        if config.sandwich_norms:
            self.pre_feedforward_layernorm = Norm(config.hidden, config, dtype)
            self.post_feedforward_layernorm = Norm(config.hidden, config, dtype)
        self.sandwich_norms = config.sandwich_norms

    def forward(self, x: Tensor, sight: Sight, layer: int, past: Past | None) -> Tensor:
        mixed = self.self_attn(x, self.input_layernorm, sight, layer, past)
        if self.sandwich_norms:
            x = x + self.post_attention_layernorm(mixed)
            fed: Tensor = self.post_feedforward_layernorm(self.mlp(x, self.pre_feedforward_layernorm))
        else:
            x = x + mixed
            fed = self.mlp(x, self.post_attention_layernorm)
        return x + fed


class Trunk(nn.Module):
    def __init__(self, config: DecoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        # Not `nn.Embedding(vocabulary, hidden)`: that draws random weights, and on the meta device importing
        # what draws them takes 1.1 s.
        empty = torch.empty(config.vocabulary, config.hidden, dtype=dtype)
        self.embed_tokens = nn.Embedding.from_pretrained(empty)  # type: ignore[no-untyped-call]
        self.layers = nn.ModuleList(Layer(config, kind, dtype) for kind in config.kinds)
        self.norm = Norm(config.hidden, config, dtype)


class Decoder(nn.Module):
    """Made empty: fill it with `weights.load`. Nothing in it trains until the forge says what does."""

    def __init__(self, config: DecoderConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.config, self.dtype, self.stored_dtype = config, dtype, dtype
        self.recomputed_layers = 0
        """While training, the first so many layers keep only their input and are run again in the backward."""
        self.model = Trunk(config, dtype)
        if not config.tied_embeddings:
            self.lm_head = Linear(config.hidden, config.vocabulary, bias=False, dtype=dtype)
        self._output: Blocked | None = None

    @property
    def output_weight(self) -> Tensor:
        """[V, D]: what turns hidden states into logits."""
        tied = self.config.tied_embeddings
        return self.model.embed_tokens.weight if tied else self.lm_head.weight

    @property
    def device(self) -> torch.device:
        return self.model.norm.weight.device

    def lay_out(self) -> Decoder:
        """Lay the weights out for answers: the same words in half the time (`ops.blocked`), but no gradients any more.

        The output weight is kept beside its blocks: embeddings are rows of it.
        """
        for module in self.model.modules():
            if isinstance(module, Linear):
                module.lay_out()
        if self.output_weight.dtype == self.dtype:
            self._output = blocked(self.output_weight)
        return self

    def new_cache(self, rows: int, capacity: int) -> Tensor:
        """Room for the keys and values of `rows` texts of `capacity` tokens: [layers, 2, B, K, capacity, E].

        Zeros, because what nobody may see is still multiplied, by nothing: what happened to lie there might be NaN.
        """
        config = self.config
        shape = (config.layers, 2, rows, config.key_value_heads, capacity, config.head_size)
        return torch.zeros(shape, dtype=self.model.norm.weight.dtype, device=self.device)

    def within_texts(self, segments: Tensor, positions: Tensor) -> Sight:
        """Each token sees its own text's past; `segments` and `positions` are [B, T], on any device."""
        segments, positions = segments.to(self.device), positions.to(self.device)
        window = self.config.window
        full = attention.within_texts(segments, self.dtype)
        windowed = full if window is None else attention.within_texts(segments, self.dtype, window)
        return Sight(full, windowed, self._rotations(positions, _last(segments, positions)))

    def allowed(self, seen: Tensor, positions: Tensor, key_positions: Tensor) -> Sight:
        """Tokens at `positions` [B, T] see keys at `key_positions` [B, S] where boolean `seen` [B, T, S] says so.

        A row is taken for one text of the length its last key says (see `rope.rotation`).
        """
        seen, positions, key_positions = (part.to(self.device) for part in (seen, positions, key_positions))
        full = windowed = attention.allowed(seen, self.dtype)
        if self.config.window is not None:
            near = positions.unsqueeze(2) - key_positions.unsqueeze(1) < self.config.window
            windowed = attention.allowed(seen & near, self.dtype)
        return Sight(full, windowed, self._rotations(positions, key_positions.amax(1, keepdim=True)))

    def _rotations(self, positions: Tensor, last: Tensor) -> dict[Rope, Rotation]:
        return {rope: rotation(rope, positions, last) for rope in self.config.ropes}

    def forward(self, tokens: Tensor, sight: Sight, past: Past | None = None, noise: Tensor | None = None) -> Tensor:
        """Final hidden states [B, T, D] (normed) for tokens [B, T] (int64).

        With a past, S counts the tokens already in it, and it grows by T. `noise` [R, T, D] is added to the
        embeddings of the first R rows.
        """
        table = self.model.embed_tokens
        x: Tensor = table(tokens.to(table.weight.device)).to(self.device, self.dtype)
        if noise is not None:
            x[: len(noise)] += noise.to(x)
        if self.config.embedding_scale != 1.0:
            x = x * torch.tensor(self.config.embedding_scale, dtype=x.dtype)  # rounded first, as Gemma's code does
        for index, layer in enumerate(self.model.layers):
            if index < self.recomputed_layers and torch.is_grad_enabled():
                x = checkpoint(layer, x, sight, index, past, use_reentrant=False, preserve_rng_state=False)
            else:
                x = layer(x, sight, index, past)
        if past is not None:
            past.advance(tokens.shape[1])
        hidden: Tensor = self.model.norm(x)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., V] in fp32 for hidden states [..., D]."""
        if self._output is None:
            logits = nn.functional.linear(hidden, self.output_weight.to(hidden)).float()
        else:
            logits = self._output.product(hidden.reshape(-1, hidden.shape[-1])).view(*hidden.shape[:-1], -1).float()
        softcap = self.config.logit_softcap
        return softcap * torch.tanh(logits / softcap) if softcap else logits


def _last(segments: Tensor, positions: Tensor) -> Tensor:
    """The last position of each token's own text; both are [B, T], segments numbered in each row from -1 or 0."""
    rows, length = segments.shape
    last = positions.new_zeros(rows, length + 1).scatter_reduce(1, segments + 1, positions, "amax")
    return last.gather(1, segments + 1)
