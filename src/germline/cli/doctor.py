"""`germline doctor`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from germline.cli import options, output
from germline.report import tables

if TYPE_CHECKING:
    from germline.forge.machine import Machine


@click.command(
    "doctor",
    epilog=options.examples("germline doctor", "germline doctor --memory 8", "germline doctor --device cpu --json"),
)
@click.option("--memory", type=options.Finite(0, 1e6), default=0.0, metavar="GIB", help="Plan with so much memory.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to train.")
@options.as_json
def command(memory: float, device: str, as_json: bool) -> int:
    """Show this machine, and what it can train.

    Measures how fast it multiplies matrices (a moment, so other programs should rest), then asks for models
    of five sizes, as `germline evolve` would, how LoRA training by the default plan fits: nothing is
    downloaded and nothing is written.
    """
    import torch

    from germline import __version__
    from germline.forge.machine import Arithmetic, flops_per_second, machine, no_gpu
    from germline.forge.shapes import CONFIGS
    from germline.ops.pointwise import triton_version

    here = machine(device)
    torch.set_num_threads(here.cores)
    rates = {
        name: flops_per_second(Arithmetic(dtype, here.device))
        for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32))
    }
    found: dict[str, Any] = {
        "germline": __version__, "torch": torch.__version__, "cores": here.cores, "units": here.units,
        "gpu": here.gpu, "total_bytes": here.total_bytes, "free_bytes": here.free_bytes, "compiler": here.compiler,
        "no_gpu": no_gpu(), "kernels": triton_version() if here.gpu else None,
        "flops_per_second": rates, "models": [_model(name, here, memory, rates) for name in CONFIGS],
    }  # fmt: skip
    if as_json:
        output.say_json(found)
    else:
        output.say([*_machine(found), "", *_table(found)])
    return 0


def _model(name: str, here: Machine, memory: float, rates: dict[str, float]) -> dict[str, Any]:
    """What `forge.fit` chooses for LoRA of rank 16 on this shape, or why it refuses."""
    from germline.errors import DoesNotFit
    from germline.forge.fit import fit, flops, reached
    from germline.forge.shapes import shape
    from germline.settings import Curriculum, Training

    config, plan = shape(name), Curriculum()
    told: dict[str, Any] = {"model": name, "parameters": config.parameters}
    try:
        chosen = fit(
            config, Training(), row_tokens=plan.row_tokens, batch_tokens=plan.batch_tokens, here=here, memory_gb=memory
        )
    except DoesNotFit as error:
        return {**told, "fits": False, "why": error.message}
    dtype = "bf16" if here.fast_bf16 else "fp32"
    return {
        **told, "fits": True, "held": chosen.setting.bits or dtype, "row_tokens": chosen.setting.row_tokens,
        "micro_tokens": chosen.setting.micro_tokens, "recomputed_layers": chosen.setting.recomputed_layers,
        "layers": config.layers, "peak_bytes": chosen.peak_bytes,
        "tokens_per_second": reached(chosen.on, rates[dtype], here.cores) / flops(config, chosen.setting, 1, 1),
    }  # fmt: skip


def _machine(found: dict[str, Any]) -> list[str]:
    rates = found["flops_per_second"]
    gib = {key: found[f"{key}_bytes"] / (1 << 30) for key in ("total", "free")}
    compiled = "yes" if found["compiler"] else "no: long runs take some 10% longer than with a C++ compiler"
    kernels = found["kernels"] or "none: Triton, or the C compiler and Python.h that it needs, is not there"
    return tables.columns([
        ("cores", f"{found['cores']} with {found['units']}"),
        ("gpu", found["gpu"] or f"none: {found['no_gpu']}"),
        ("memory", f"{gib['free']:.1f} of {gib['total']:.1f} GiB free{' on the GPU' if found['gpu'] else ''}"),
        ("matrix products", f"{rates['bf16'] / 1e12:.2f} TFLOP/s in bf16, {rates['fp32'] / 1e12:.2f} in fp32"),
        ("kernels", kernels) if found["gpu"] else ("compiler", compiled),
        ("versions", f"germline {found['germline']}, torch {found['torch']}"),
    ])  # fmt: skip


def _table(found: dict[str, Any]) -> list[str]:
    header = ("model", "weights held as", "tokens at once", "layers recomputed", "peak", "about")
    rows: list[tuple[str, ...] | str] = [header]
    for model in found["models"]:
        if not model["fits"]:
            rows.append(f"{model['model']}  does not fit: {model['why']}")
            continue
        rows.append((
            model["model"], model["held"], f"{model['micro_tokens']} in rows of {model['row_tokens']}",
            f"{model['recomputed_layers']} of {model['layers']}", tables.size(model["peak_bytes"]),
            f"{model['tokens_per_second']:,.0f} tokens/s",
        ))  # fmt: skip
    return tables.columns(rows, right=(4, 5))
