"""In which type each tensor of a GGUF is stored, and its bytes.

Vectors stay float32. The K types mix as llama.cpp's own quantizer does by default: the output layer, values and
down-projections of some layers in more bits than the rest. float16, bfloat16 and the plain 8-bit type are the gguf
package's; for the K types, which it can only read, llama.cpp's own code is called through xllamacpp.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType
from gguf.quants import quantize
from torch import Tensor

from germline.errors import PlanError, did_you_mean

Type = GGMLQuantizationType
ROWS = 4096
"""Encoded at once: a matrix of a large vocabulary is never held twice in float32."""

QUANTIZATIONS: dict[str, tuple[Type, LlamaFileType]] = {
    "f32": (Type.F32, LlamaFileType.ALL_F32),
    "bf16": (Type.BF16, LlamaFileType.MOSTLY_BF16),
    "f16": (Type.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (Type.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q6_k": (Type.Q6_K, LlamaFileType.MOSTLY_Q6_K),
    "q5_k_m": (Type.Q5_K, LlamaFileType.MOSTLY_Q5_K_M),
    "q4_k_m": (Type.Q4_K, LlamaFileType.MOSTLY_Q4_K_M),
}
"""What `--quant` may say -> the type of most tensors, and the number that names the mix."""

_K = (Type.Q4_K, Type.Q5_K, Type.Q6_K)
_UNEVEN = {Type.Q4_K: Type.Q5_0, Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0}
"""For rows that are no multiple of 256 long, as SmolLM2's of 576: what llama.cpp takes instead."""
_FUSED = {Type.Q4_K: Type.Q5_K, Type.Q5_K: Type.Q6_K}


def require_known(quantization: str) -> None:
    """PlanError unless there is such a quantization."""
    if quantization not in QUANTIZATIONS:
        hint = did_you_mean(quantization, QUANTIZATIONS)
        raise PlanError(f"there is no quantization {quantization!r}", hint=hint)


def type_of(name: str, shape: tuple[int, ...], quantization: str, *, layers: int, tied: bool) -> Type:
    """The type of one tensor by its name in the GGUF."""
    most, _ = QUANTIZATIONS[quantization]
    if len(shape) == 1:
        return Type.F32
    kind = _mixed(name, most, layers, tied) if most in (Type.Q4_K, Type.Q5_K) else most
    if shape[-1] % GGML_QUANT_SIZES[kind][0]:
        kind = _UNEVEN.get(kind, Type.F16)
    return Type.F16 if shape[-1] % GGML_QUANT_SIZES[kind][0] else kind


def _mixed(name: str, most: Type, layers: int, tied: bool) -> Type:
    part = name.removesuffix(".weight").rsplit(".", 1)[-1]
    if part == ("token_embd" if tied else "output"):
        return Type.Q6_K
    if part == "attn_qkv":
        return _FUSED[most]
    if part in ("attn_v", "ffn_down"):
        layer, eighth = int(name.split(".")[1]), layers // 8
        more = layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
        return Type.Q6_K if more else most
    return most


def encoded(values: Tensor, kind: Type) -> Iterator[np.ndarray[Any, Any]]:
    """The bytes of a float32 tensor in that type, some rows at a time."""
    matrix = values.reshape(-1, values.shape[-1])
    for start in range(0, len(matrix), ROWS):
        rows = np.ascontiguousarray(matrix[start : start + ROWS].numpy(), np.float32)
        yield _by_llamacpp(rows, kind) if kind in _K else quantize(rows, kind)


def size_of(shape: tuple[int, ...], kind: Type) -> int:
    """Bytes."""
    block, block_bytes = GGML_QUANT_SIZES[kind]
    return int(np.prod(shape)) // block * block_bytes


def _by_llamacpp(rows: np.ndarray[Any, Any], kind: Type) -> np.ndarray[Any, Any]:
    out = np.empty(size_of(rows.shape, kind), np.uint8)
    source, target = (array.ctypes.data_as(ctypes.c_void_p) for array in (rows, out))
    wrote = _quantizer()(int(kind), source, target, 0, rows.shape[0], rows.shape[1], None)
    if wrote != out.nbytes:
        raise AssertionError(f"llama.cpp wrote {wrote} bytes of {kind.name}, not {out.nbytes}")
    return out


@cache
def _quantizer() -> Any:
    """`size_t ggml_quantize_chunk(type, src, dst, start, nrows, n_per_row, imatrix)` of ggml.h."""
    try:
        from xllamacpp import xllamacpp
    except ImportError:
        hint = 'pip install -c constraints.txt -e ".[export]" in the folder germline came from, or --quant q8_0'
        raise PlanError("K types are quantized by llama.cpp, which is not installed", hint=hint) from None
    try:
        function = ctypes.CDLL(xllamacpp.__file__).ggml_quantize_chunk
    except (AttributeError, OSError) as error:
        problem = f"this build of xllamacpp does not show llama.cpp's quantizer: {error}"
        raise PlanError(problem, hint="--quant q8_0, and llama-quantize from there") from None
    whole = ctypes.c_int64
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, whole, whole, whole, ctypes.c_void_p]
    function.restype = ctypes.c_size_t
    return function
