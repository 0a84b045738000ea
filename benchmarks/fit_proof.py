"""Does training take the memory that `forge.memory` predicts? A grid of settings, each in a fresh process.

    python benchmarks/fit_proof.py [--only REGEX]

Random weights of real shapes are written once; each child loads them, trains two steps and reports the peak
of its resident memory. What was measured is kept in fit_proof.json, and fit_proof.md sets beside it what is
predicted now: with --only, the other rows keep the peak they had. Fails when a prediction is off by more than
15%.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TOLERANCE = 0.15
MEASURED = Path(__file__).with_suffix(".json")
ROWS: list[dict[str, Any]] = [
    {"shape": "SmolLM2-135M", "row": 512, "micro": micro, "recompute": layers, "bits": bits}
    for bits, layers, micro in (
        (None, 0, 512),
        (None, 0, 2048),
        (None, 0, 4096),
        (None, 15, 2048),
        (None, 30, 2048),
        (None, 30, 4096),
        ("int8", 0, 1024),
        ("int8", 30, 2048),
        ("nf4", 0, 1024),
        ("nf4", 30, 2048),
    )
] + [
    {"shape": "SmolLM2-135M", "row": 512, "micro": 512, "recompute": 0, "bits": None}
    | {"embeddings": True, "anchor": 128},
    {"shape": "SmolLM2-135M", "row": 128, "micro": 384, "recompute": 0, "bits": None},
    {"shape": "SmolLM2-135M", "row": 2048, "micro": 2048, "recompute": 0, "bits": None},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "rank": 64},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "method": "full"},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 30, "bits": None, "method": "full"},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "method": "full", "eight": True},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "embeddings": True},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "dtype": "fp32"},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "dtype": "fp32", "anchor": 128},
    {"shape": "SmolLM2-135M", "row": 128, "micro": 512, "recompute": 0, "bits": None, "dtype": "fp32", "anchor": 2048},
    {"shape": "Qwen2.5-0.5B", "row": 512, "micro": 512, "recompute": 0, "bits": None},
    {"shape": "Qwen2.5-0.5B", "row": 512, "micro": 1024, "recompute": 0, "bits": None},
    {"shape": "Qwen2.5-0.5B", "row": 512, "micro": 1024, "recompute": 24, "bits": "nf4"},
    {"shape": "Qwen2.5-0.5B", "row": 256, "micro": 512, "recompute": 12, "bits": "int8"},
    {"shape": "Llama-3.2-1B", "row": 512, "micro": 512, "recompute": 0, "bits": None},
    {"shape": "Llama-3.2-1B", "row": 512, "micro": 512, "recompute": 16, "bits": None},
    {"shape": "Llama-3.2-1B", "row": 512, "micro": 512, "recompute": 0, "bits": "nf4"},
    {"shape": "Llama-3.2-1B", "row": 512, "micro": 512, "recompute": 16, "bits": "nf4"},
    {"shape": "Llama-3.2-1B", "row": 256, "micro": 256, "recompute": 16, "bits": "int8"},
    {"shape": "Llama-3.2-3B", "row": 512, "micro": 512, "recompute": 28, "bits": "nf4"},
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="settings whose line matches this")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(json.loads(given.child))
    if given.write:
        return write_random(*given.write)
    kept: dict[str, dict[str, Any]] = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    with tempfile.TemporaryDirectory() as directory:
        for row in ROWS:
            if not re.search(given.only, told(row)):
                continue
            command = [sys.executable, __file__, "--child", json.dumps({**row, "directory": directory})]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(done.stderr[-2000:])
                return 1
            kept[told(row)] = {"peak": json.loads(done.stdout.splitlines()[-1]), "date": str(datetime.date.today())}
            print(told(row), f"{kept[told(row)]['peak'] / 1e9:.2f} GB", flush=True)
    MEASURED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return report(kept)


def report(kept: dict[str, dict[str, Any]]) -> int:
    """Write the table of all rows measured so far; 1 when a prediction is off by more than TOLERANCE."""
    lines, worst = [], 0.0
    for row in ROWS:
        if (measured := kept.get(told(row))) is None:
            continue
        predicted = predict(row)
        off = predicted / measured["peak"] - 1
        worst = max(worst, abs(off))
        figures = f"{predicted / 1e9:.2f} | {measured['peak'] / 1e9:.2f} | {off:+.1%}"
        lines.append(f"| {told(row)} | {figures} | {measured['date']} |")
    text = "\n".join([
        "# Predicted and measured peak memory",
        "",
        f"{platform.system()} {platform.machine()}: resident memory of a fresh process that trains two steps, in GB "
        f"(1e9). {len(lines)} settings, worst {worst:.1%} off (limit {TOLERANCE:.0%}). "
        "`make proof-fit` measures them again.",
        "",
        "| setting | predicted | measured | off | on |",
        "| --- | ---: | ---: | ---: | --- |",
        *lines,
        "",
    ])  # fmt: skip
    MEASURED.with_suffix(".md").write_text(text, encoding="utf-8")
    print("\n".join(lines), f"\nworst {worst:.1%}")
    return int(worst > TOLERANCE)


def predict(row: dict[str, Any]) -> int:
    from germline.forge.memory import peak_bytes
    from germline.forge.shapes import shape

    training, on, setting = choices(row)
    return peak_bytes(shape(row["shape"]), training, on, setting)


def told(row: dict[str, Any]) -> str:
    held = row["bits"] or row.get("dtype", "bf16")
    method = row.get("method", "lora") + (" rank 64" if row.get("rank") else "")
    extra = ", embeddings trained" if row.get("embeddings") else ", 8-bit AdamW" if row.get("eight") else ""
    extra += f", an anchor of {row['anchor']} a step" if row.get("anchor") else ""
    return (
        f"{row['shape']}, {method}{extra}, {held}, rows of {row['row']}, {row['micro']} at once, "
        f"{row['recompute']} layers recomputed"
    )


def choices(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The plan, the arithmetic and the setting that a row stands for."""
    import torch

    from germline.forge.machine import Arithmetic
    from germline.forge.memory import Setting
    from germline.settings import Training

    training = Training(
        method=row.get("method", "lora"), rank=row.get("rank", 16), embeddings=row.get("embeddings", False),
        learning_rate=1e-4, optimizer="adamw8bit" if row.get("eight") else "adamw", dtype=row.get("dtype", "bf16"),
        anchor=5.0 if row.get("anchor") else 0.0, anchor_tokens=row.get("anchor", 128),
    )  # fmt: skip
    on = Arithmetic(torch.float32 if row.get("dtype") == "fp32" else torch.bfloat16, "cpu")
    setting = Setting(
        bits=row["bits"],
        recomputed_layers=row["recompute"],
        micro_tokens=row["micro"],
        row_tokens=row["row"],
        parts=1 + ("anchor" in row),
    )
    return training, on, setting


def child(row: dict[str, Any]) -> int:
    from germline.forge import loop, trainable
    from germline.forge.fit import Fit
    from germline.forge.machine import peak_memory_bytes
    from germline.forge.shapes import shape
    from germline.model import weights

    config = shape(row["shape"])
    path = Path(row["directory"]) / f"{row['shape']}.safetensors"
    if not path.exists():
        subprocess.run([sys.executable, __file__, "--write", row["shape"], str(path)], check=True)
    training, on, setting = choices(row)
    fit = Fit(on=on, threads=2, setting=setting, compiled=False, peak_bytes=0, seconds=0.0, reasons=())
    in_full = trainable.in_full(training)
    anchor = whole_anchor(config, path, training, on) if row.get("anchor") else None  # first, as a lesson has it
    decoder = weights.load(config, path, on.dtype, bits=row["bits"], in_full=in_full)
    with tempfile.TemporaryDirectory() as scratch:
        batches = random_batches(config.vocabulary, row["micro"], row["row"])
        loop.train(decoder, batches, training, fit, scratch=Path(scratch), on_event=lambda event: None, anchor=anchor)
    print(peak_memory_bytes())
    return 0


def whole_anchor(config: Any, path: Path, training: Any, on: Any) -> Any:
    """As many texts as a lineage has at the most, of which the founder predicts two steps; the rest are copies."""
    import torch

    from germline.forge.anchor import TEXTS, TOKENS, anchored
    from germline.model import weights

    random = torch.Generator().manual_seed(0)
    texts = torch.randint(0, config.vocabulary, (TEXTS, TOKENS), generator=random).tolist()
    founder = weights.load(config, path, on.dtype)
    made = anchored(founder, texts, batch_tokens=training.anchor_tokens, weight=training.anchor, steps=2)
    copies = TEXTS * TOKENS // training.anchor_tokens // 2
    wanted = tuple(part.clone() for part in made.wanted for _ in range(copies))
    return dataclasses.replace(made, batches=made.batches * copies, wanted=wanted)


def write_random(name: str, file_name: str) -> int:
    """Weights of this shape from a seed, one tensor in memory at a time; a process of its own, as its peak is."""
    import torch

    from germline.forge.shapes import shape
    from germline.model import weights

    config, path = shape(name), Path(file_name)

    random = torch.Generator().manual_seed(0)
    shapes = weights.layout(config)
    with path.open("wb") as file:
        made = ((name, torch.randn(shapes[name], generator=random) * 0.02) for name in sorted(shapes))
        weights.write(file, shapes, made, torch.bfloat16)
    return 0


def random_batches(vocabulary: int, tokens: int, row_tokens: int) -> Any:
    """Two steps of full rows."""
    import torch

    from germline.model.rows import Batch

    class Two(list[Batch]):
        real_tokens = learned_tokens = 2 * tokens

    rows, random = tokens // row_tokens, torch.Generator().manual_seed(1)
    learned = torch.ones(rows, row_tokens, dtype=torch.bool)
    learned[:, 0] = False
    positions = torch.arange(row_tokens).expand(rows, row_tokens)
    return Two(
        Batch(
            torch.randint(0, vocabulary, (rows, row_tokens), generator=random),
            torch.zeros(rows, row_tokens, dtype=torch.int64), positions, learned,
        )
        for _ in range(2)
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
