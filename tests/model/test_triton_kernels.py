"""Each Triton kernel against the plain body it stands in for, and the operations made of them.

Where there is no GPU they run under Triton's interpreter (`make test-triton`), and are compiled for GPUs that are
not there. The interpreter cuts fp32 off where a GPU rounds it to bf16, so what is bf16 may be off by one of its
steps, 2^-7 of a value (fp16: 2^-10); fp32 agrees to 1e-5 of the largest value.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from germline.forge import trainable
from germline.model import weights
from germline.model.rows import predict
from germline.ops import pointwise
from germline.ops.loss import cross_entropy_sum
from germline.ops.quantize import SCALE_BLOCK, Nf4, quantize
from germline.settings import Training
from tests.model import test_ops
from tests.model.test_families import saved
from tests.model.test_ops import noise
from tests.model.training_runs import METHODS, batches, load, train

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed; make test-triton installs it", allow_module_level=True)
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("no GPU, and TRITON_INTERPRET=1 is not set; make test-triton sets it", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning")  # a gate far below zero
DEVICE = "cpu" if INTERPRETED else "cuda"
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
INTERPRETED_ONLY = pytest.mark.skipif(not INTERPRETED, reason="on tensors of the CPU: TRITON_INTERPRET=1")
Made = Tensor | tuple[Tensor, ...] | list[Tensor]


def close(found: Tensor, expected: Tensor, steps: int = 1) -> None:
    """Within 1e-5 of the largest value, or so many steps of the dtype from each value."""
    assert found.shape == expected.shape
    share = {torch.float32: 1e-5, torch.float16: steps * 2**-10, torch.bfloat16: steps * 2**-7}[found.dtype]
    found, expected = found.detach().float(), expected.detach().float()
    assert torch.allclose(found, expected, rtol=share, atol=1e-5 * max(1.0, float(expected.abs().max())))


def both(run: Callable[[], Made], steps: int = 1) -> None:
    """What `run` makes with kernels is what it makes without, dtypes included."""
    with pointwise.kernels(False):
        expected = run()
    with pointwise.kernels():
        found = run()
    for one, other in zip([found] if isinstance(found, Tensor) else found,
                          [expected] if isinstance(expected, Tensor) else expected, strict=True):  # fmt: skip
        assert one.dtype == other.dtype
        close(one, other, steps)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return noise(*shape, seed=seed, dtype=dtype).to(DEVICE)


@DTYPES
@pytest.mark.parametrize(("rows", "width"), [(5, 96), (37, 96), (3, 576), (2, 3001)])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_norm(rows: int, width: int, offset: float, dtype: torch.dtype) -> None:
    x, gradient = drawn(rows, width, dtype=dtype) * 3, drawn(rows, width, seed=1, dtype=dtype)
    for weight in (drawn(width), drawn(width, dtype=torch.bfloat16)):
        both(partial(pointwise.norm, x, weight=weight, epsilon=1e-5, offset=offset))
        backward = partial(pointwise.norm_backward, x, gradient, weight=weight, epsilon=1e-5, offset=offset)
        for trained in (False, True):
            both(partial(backward, trained=trained))


@DTYPES
@pytest.mark.parametrize(("rows", "width"), [(5, 96), (37, 576), (2, 3001)])
@pytest.mark.parametrize("activation", ["silu", "gelu_tanh"])
def test_gate(rows: int, width: int, activation: str, dtype: torch.dtype) -> None:
    gate, up, gradient = (drawn(rows, width, seed=seed, dtype=dtype) * 3 for seed in range(3))
    # Two steps: the reference rounds the activation, and the gradient times up, to the inputs' dtype on the way.
    both(partial(pointwise.gated, gate, up, activation=activation), steps=2)
    both(partial(pointwise.gated_backward, gate, up, gradient, activation=activation), steps=2)


def test_rows_may_lie_apart() -> None:
    """As gate and up do in one fused matrix, and a gradient that came from a sum."""
    fused = drawn(7, 2 * 96)
    gate, up = fused.chunk(2, 1)
    spread = torch.ones(1, 1, device=DEVICE).expand(7, 96)
    both(partial(pointwise.gated_backward, gate, up, spread, activation="silu"))
    both(partial(pointwise.norm_backward, up, spread, weight=gate[0], epsilon=1e-5, offset=0.0, trained=True))
    both(lambda: pointwise.cross_entropy(fused.clone()[:, ::2], torch.arange(7, device=DEVICE), softcap=0.0))


@DTYPES
@pytest.mark.parametrize(("half", "width"), [(32, 64), (24, 48), (8, 100)])
def test_rotation(half: int, width: int, dtype: torch.dtype) -> None:
    """Of queries [B, H, T, E] that are a view of a layer's output, and back, as gradients lie."""
    x = drawn(2, 13, 3, width, dtype=dtype).transpose(1, 2)
    cosine, sine = drawn(2, 1, 13, half).cos(), drawn(2, 1, 13, half).sin()
    both(partial(pointwise.rotate, x, cosine, sine, scale=0.3))
    both(partial(pointwise.rotate, *(part.transpose(1, 2) for part in (x, cosine, -sine)), scale=0.3))


@DTYPES
@pytest.mark.parametrize(("rows", "vocabulary"), [(37, 301), (3, 4096), (3, 49152)])
@pytest.mark.parametrize("softcap", [0.0, 30.0])
def test_cross_entropy(rows: int, vocabulary: int, softcap: float, dtype: torch.dtype) -> None:
    logits = drawn(rows, vocabulary, dtype=dtype) * 10
    target = torch.arange(rows, device=DEVICE) * (vocabulary // rows)
    target[-1] = vocabulary - 1
    both(lambda: pointwise.cross_entropy(logits.clone(), target, softcap=softcap))


def test_cross_entropy_takes_no_memory_of_its_own() -> None:
    logits = drawn(4, 301)
    with pointwise.kernels():
        _, gradient = pointwise.cross_entropy(logits, torch.arange(4, device=DEVICE), softcap=0.0)
    assert gradient.data_ptr() == logits.data_ptr()


def test_cross_entropy_of_what_is_impossible_or_no_number() -> None:
    logits = drawn(3, 5000)
    logits[0, :4500] = -torch.inf  # all of the first tile
    logits[1, 3] = torch.nan
    with pointwise.kernels():
        loss, gradient = pointwise.cross_entropy(logits.clone(), torch.full((3,), 4999, device=DEVICE), softcap=0.0)
    assert loss.isfinite().tolist() == [True, False, True] == gradient.isfinite().all(1).tolist()
    close(loss[0], -torch.log_softmax(logits[0], 0)[4999])


@pytest.mark.parametrize("shape", [(3, 64), (33, 192), (SCALE_BLOCK + 1, 64), (96, 576)])
def test_nf4(shape: tuple[int, int]) -> None:
    packed = quantize(drawn(*shape) * drawn(shape[0], 1).exp(), "nf4")
    assert isinstance(packed, Nf4)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        both(partial(packed.dense, dtype), steps=2)  # its scale and its product are each cut off once
    with pointwise.kernels(False):
        expected = packed.dense(torch.float32)
    with pointwise.kernels():
        assert torch.equal(packed.dense(torch.float32), expected)


OPERATIONS: dict[str, Callable[[], None]] = {
    "norm": partial(test_ops.test_norm, 0.0),
    "norm, offset": partial(test_ops.test_norm, 1.0),
    "silu": partial(test_ops.test_gate, "silu"),
    "gelu": partial(test_ops.test_gate, "gelu_tanh"),
    "layers behind a norm": test_ops.test_layers_with_adapters_behind_a_norm,
    "a layer behind a gate": test_ops.test_a_layer_with_an_adapter_behind_a_gate,
    "rotation": test_ops.test_rotation_turns_pairs_and_leaves_the_rest,
    "cross-entropy": partial(test_ops.test_cross_entropy_with_a_trained_vocabulary, 0.0),
    "cross-entropy, softcap": partial(test_ops.test_cross_entropy_with_a_trained_vocabulary, 5.0),
    "nf4": partial(test_ops.test_gradients_through_a_packed_weight_are_those_of_what_it_stands_for, "nf4"),
    "bf16": test_ops.test_bf16_errs_by_bf16s_own_rounding,
}


@pytest.fixture
def kernels() -> Iterator[None]:
    with pointwise.kernels():
        yield


@INTERPRETED_ONLY
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_and_their_gradients(operation: str) -> None:
    """The tests of the operations themselves, with kernels inside."""
    OPERATIONS[operation]()


@pytest.mark.parametrize("variant", ["llama gelu", "phi3 partial", "gemma2 softcaps", "qwen3"])
def test_a_decoder_and_its_gradients(tmp_path: Path, variant: str) -> None:
    """A step's loss and every adapter's gradient: head norms, fused layers, softcaps, trained norms and all."""
    model = saved(variant, tmp_path)

    def learned() -> list[Tensor]:
        decoder = weights.load(model.shape, model.weights, torch.float32, device=DEVICE)
        decoder.recomputed_layers = 1
        parameters = trainable.prepare(decoder, Training(rank=4)).parameters
        for parameter in parameters.values():
            parameter.data += 0.01  # B starts as zero, which would hide A
        hidden, targets = predict(decoder, batches(1)[0])
        loss = cross_entropy_sum(hidden, decoder.output_weight, targets, model.shape.logit_softcap)
        return [loss, *torch.autograd.grad(loss, list(parameters.values()))]

    both(learned)


@INTERPRETED_ONLY
@pytest.mark.parametrize("method", ["lora", "nf4, recomputed, micro-batches", "full"])
def test_a_training_run(small_weights: Path, tmp_path: Path, method: str) -> None:
    training, fit = METHODS[method]

    def run() -> Tensor:
        made = train(load(small_weights, training, fit), tmp_path / str(pointwise._kernels), fit=fit, training=training)
        return torch.tensor(made.curve)

    both(run)


@pytest.mark.parametrize("capability", [75, 80, 90])
def test_kernels_compile_for_a_gpu_that_is_not_there(tmp_path: Path, capability: int) -> None:
    """To machine code, with nothing spilled from registers to memory. In a process that does not interpret."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.model.compile_kernels", str(capability)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
        env={**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    compiled = {line.split()[0] for line in done.stdout.splitlines()}
    assert compiled == {"_norm", "_norm_backward", "_gated", "_gated_backward", "_rotate", "_cross_entropy", "_nf4"}
    assert all(line.split()[1:] == ["0", "spilled"] for line in done.stdout.splitlines())
