"""A device that is not the CPU, for machines that have no other: its tensors compute as the CPU's do, but meet
them no more than a GPU's would. Autograd runs their backward in a thread of its own, as it does a GPU's.

Importing this registers the device "other" with torch, which cannot be undone: it is for a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "other"


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend(NAME, _Module())

aten = torch.ops.aten
MOVES = (aten._to_copy.default, aten.copy_.default, aten._local_scalar_dense.default)
"""What may take tensors of two devices."""
INDEXING = (aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default)
"""What may take its indices from the CPU."""


class Elsewhere(Tensor):
    """A tensor on the other device; `held` is what it holds."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=f"{NAME}:0",
        )  # fmt: skip
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.held})"

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})


@torch.inference_mode(False)  # a wrapper made in it could not be a view of one that was not
def _run(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    strangers = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere)]
    if operation in INDEXING:
        strangers = [tensor for tensor in strangers if tensor is args[0]]
    if "fused" not in str(operation):  # a fused optimizer wants even its step counts beside the rest
        strangers = [tensor for tensor in strangers if tensor.dim() > 0]
    if strangers and operation not in MOVES and len(strangers) < len(tensors):
        raise RuntimeError(f"{operation}: tensors on two devices; on the CPU {[list(t.shape) for t in strangers]}")
    made = operation(*tree_map(_held, args), **tree_map(_held, kwargs))
    place = kwargs.get("device")
    if place is not None and torch.device(place).type != NAME:
        return made
    made = tree_map(lambda leaf: Elsewhere(leaf) if isinstance(leaf, Tensor) else leaf, made)
    return made if place is not None or not tensors else return_and_correct_aliasing(operation, args, kwargs, made)


def _held(leaf: Any) -> Any:
    if isinstance(leaf, torch.device):
        return torch.device("cpu")
    return leaf.held if isinstance(leaf, Elsewhere) else leaf


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    _held(target).copy_(_held(source))
    return target


_everything = torch.library.Library("_", "IMPL")
_everything.fallback(lambda operation, *args, **kwargs: _run(operation, args, kwargs), "PrivateUse1")
_copies = torch.library.Library("aten", "IMPL")
_copies.impl("_copy_from", _copy_from, "PrivateUse1")
