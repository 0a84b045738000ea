"""Softmax attention in tiles of queries, each against the keys it can see and no others.

Rows hold many texts side by side, and a text sees only its own past. So a tile of queries meets the keys
from the first text any of its rows is still in, up to its own end: what lies above the diagonal or before
those texts is never multiplied, and the only masks that exist are one small tile each, made once per batch
and shared by all layers.

Explicit batched products rather than `F.scaled_dot_product_attention`: on a CPU in bf16 that kernel's
backward leaves the matrix units idle (rows of 128: forward and backward 38 ms against 14; LOG.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from germline.ops import pointwise

QUERIES = 128
"""Queries per tile. A row of 512 then multiplies 62% of the square instead of all of it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Queries [first, last) of every row against keys [start, end).

    mask: additive [B, 1, last - first, end - start], 0 where a query may look and -inf where not.
    """

    first: int
    last: int
    start: int
    end: int
    mask: Tensor


Visibility = tuple[Tile, ...]
"""What each token may look at: tiles that cover every query once."""


def within_texts(segments: Tensor, dtype: torch.dtype, window: int | None = None) -> Visibility:
    """Each token sees itself and what came before it in its own text, at most `window` tokens in all.

    segments [B, T] names the text of each token; a text's tokens lie side by side.
    """
    length = segments.shape[1]
    places = torch.arange(length, device=segments.device)
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    earliest = torch.where(begins, places, 0).cummax(1).values
    if window is not None:
        earliest = torch.maximum(earliest, places - window + 1)
    starts = earliest[:, ::QUERIES].amin(0).tolist()  # read once: each reading halts a GPU
    tiles = []
    for first, start in zip(range(0, length, QUERIES), starts, strict=True):
        last = min(length, first + QUERIES)
        keys = places[start:last]
        seen = (keys >= earliest[:, first:last, None]) & (keys <= places[first:last, None])
        tiles.append(Tile(first, last, start, last, _additive(seen, dtype)))
    return tuple(tiles)


def allowed(seen: Tensor, dtype: torch.dtype) -> Visibility:
    """What a boolean [B, T, S] says: True where a token may look. Every token must see at least one key."""
    _, queries, keys = seen.shape
    return (Tile(0, queries, 0, keys, _additive(seen, dtype)),)


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, -math.inf).unsqueeze(1)


def attend(query: Tensor, key: Tensor, value: Tensor, visibility: Visibility, softcap: float = 0.0) -> Tensor:
    """softmax(query key^T + mask) value, [B, H, T, E], of query [B, H, T, E] and key, value [B, K, S, E].

    The query comes already scaled. The H / K heads that share a key are stacked into one tall product, so
    grouped keys are never repeated. Scores are rounded to the inputs' dtype, the softmax is taken in fp32.
    A `softcap` c above zero takes c * tanh(scores / c) first (Gemma 2), through autograd's own graph.
    """
    if softcap > 0:
        return torch.cat([_plain(query, key, value, tile, softcap) for tile in visibility], dim=2)
    if not torch.is_grad_enabled():
        return _mixed(query, key, value, visibility)[0]
    mixed: Tensor = _Attend.apply(query, key, value, visibility)  # type: ignore[no-untyped-call]
    return mixed


def _mixed(query: Tensor, key: Tensor, value: Tensor, visibility: Visibility) -> tuple[Tensor, list[Tensor]]:
    """What is seen, and the weights of each tile."""
    rows, heads, length, size = query.shape
    mixed = query.new_empty(rows, length, heads, size).transpose(1, 2)  # as the next layer reads it
    kept = []
    for tile in visibility:
        stacked, keys, values = _tile(query, key, value, tile)
        scores = torch.bmm(stacked, keys.transpose(1, 2))
        weights = torch.softmax(_masked(scores, tile, query.shape[1]), -1)
        part = mixed[:, :, tile.first : tile.last]
        part.copy_(torch.bmm(weights, values).view(part.shape))
        kept.append(weights)
    return mixed, kept


def _plain(query: Tensor, key: Tensor, value: Tensor, tile: Tile, softcap: float) -> Tensor:
    stacked, keys, values = _tile(query, key, value, tile)
    scores = softcap * torch.tanh(torch.bmm(stacked, keys.transpose(1, 2)).float() / softcap)
    weights = torch.softmax(_masked(scores.to(query.dtype), tile, query.shape[1]), -1)
    shape = (query.shape[0], query.shape[1], tile.last - tile.first, query.shape[3])
    return torch.bmm(weights, values).view(shape)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, scale: float) -> Tensor:
    """scale * RoPE(x) for x [B, H, T, E] of any strides and tables [B, 1, T, R / 2]: contiguous, ready for `attend`."""
    if not torch.is_grad_enabled():
        return pointwise.rotate(x, cosine, sine, scale=scale)[0]
    turned: Tensor = _Rotate.apply(x, cosine, sine, scale)  # type: ignore[no-untyped-call]
    return turned


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        ctx.save_for_backward(cosine, sine)
        return pointwise.rotate(x, cosine, sine, scale=scale)[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # Turned back and laid out [B, T, H, E], as the linear layer that x came from wants it.
        outer, cosine, sine = (tensor.transpose(1, 2) for tensor in (gradients[0], *ctx.saved_tensors))
        return pointwise.rotate(outer, cosine, -sine, scale=ctx.scale)[0].transpose(1, 2), None, None, None


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, visibility: Visibility) -> Tensor:
        mixed, kept = _mixed(query, key, value, visibility)
        ctx.visibility = visibility
        ctx.save_for_backward(query, key, value, *kept)
        return mixed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        to_query = torch.empty_like(query)
        exact = torch.float32 if len(kept) > 1 else key.dtype  # tiles add up, and bf16 would round each sum
        to_key, to_value = torch.zeros_like(key, dtype=exact), torch.zeros_like(value, dtype=exact)
        for tile, weights in zip(ctx.visibility, kept, strict=True):
            stacked, keys, values = _tile(query, key, value, tile)
            outer, _, _ = _tile(gradients[0], key, value, tile)
            inner = torch.bmm(outer, values.transpose(1, 2))
            inner = torch._softmax_backward_data(inner, weights, -1, inner.dtype)
            part = to_query[:, :, tile.first : tile.last]
            part.copy_(torch.bmm(inner, keys).view(part.shape))
            place = slice(tile.start, tile.end)
            to_key[:, :, place] += torch.bmm(inner.transpose(1, 2), stacked).view(to_key[:, :, place].shape)
            to_value[:, :, place] += torch.bmm(weights.transpose(1, 2), outer).view(to_key[:, :, place].shape)
        return to_query, to_key.to(key.dtype), to_value.to(value.dtype), None


def _tile(query: Tensor, key: Tensor, value: Tensor, tile: Tile) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [B * K, H / K * t, E] and keys, values [B * K, s, E] of one tile."""
    rows, _, _, size = query.shape
    groups, seen = key.shape[1], tile.end - tile.start
    stacked = query[:, :, tile.first : tile.last].reshape(rows * groups, -1, size)
    place = slice(tile.start, tile.end)
    return (
        stacked,
        key[:, :, place].reshape(rows * groups, seen, size),
        value[:, :, place].reshape(rows * groups, seen, size),
    )


def _masked(scores: Tensor, tile: Tile, heads: int) -> Tensor:
    """The tile's mask added to scores [B * K, H / K * t, s]."""
    rows, _, queries, keys = tile.mask.shape
    masked = scores.view(rows, heads, queries, keys)
    masked = masked.add_(tile.mask) if not scores.requires_grad else masked + tile.mask
    return masked.view(scores.shape)
