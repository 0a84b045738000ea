"""Does training take the memory that `forge.fit` predicts? A grid of settings, each in a fresh process.

    python benchmarks/fit_proof.py [--only REGEX] [--out FILE]

Random weights of real shapes are written once; each child loads them, trains two steps and reports the peak
of its resident memory. Fails when a prediction is off by more than 15%.
"""

from __future__ import annotations

import argparse
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
    {"shape": "SmolLM2-135M", "row": 128, "micro": 384, "recompute": 0, "bits": None},
    {"shape": "SmolLM2-135M", "row": 2048, "micro": 2048, "recompute": 0, "bits": None},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "rank": 64},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "method": "full"},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 30, "bits": None, "method": "full"},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "method": "full", "eight": True},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "embeddings": True},
    {"shape": "SmolLM2-135M", "row": 512, "micro": 1024, "recompute": 0, "bits": None, "dtype": "fp32"},
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
    parser.add_argument("--out", type=Path, help="write the table here")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(json.loads(given.child))
    lines, worst = [], 0.0
    with tempfile.TemporaryDirectory() as directory:
        for row in ROWS:
            if not re.search(given.only, told(row)):
                continue
            command = [sys.executable, __file__, "--child", json.dumps({**row, "directory": directory})]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(done.stderr[-2000:])
                return 1
            found = json.loads(done.stdout.splitlines()[-1])
            off = found["predicted"] / found["peak"] - 1
            worst = max(worst, abs(off))
            lines.append(f"| {told(row)} | {found['predicted'] / 1e9:.2f} | {found['peak'] / 1e9:.2f} | {off:+.1%} |")
            print(lines[-1], flush=True)
    text = "\n".join([
        "# Predicted and measured peak memory",
        "",
        f"{datetime.date.today()}, {platform.machine()}, resident memory of a fresh process that trains two steps, GB "
        f"(1e9). {len(lines)} settings, worst {worst:.1%} off (limit {TOLERANCE:.0%}). `make proof-fit` runs it again.",
        "",
        "| setting | predicted | measured | off |",
        "| --- | ---: | ---: | ---: |",
        *lines,
        "",
    ])  # fmt: skip
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    print(f"worst {worst:.1%}")
    return int(worst > TOLERANCE)


def told(row: dict[str, Any]) -> str:
    held = row["bits"] or row.get("dtype", "bf16")
    method = row.get("method", "lora") + (" rank 64" if row.get("rank") else "")
    extra = ", embeddings trained" if row.get("embeddings") else ", 8-bit AdamW" if row.get("eight") else ""
    return (
        f"{row['shape']}, {method}{extra}, {held}, rows of {row['row']}, {row['micro']} at once, "
        f"{row['recompute']} layers recomputed"
    )


def child(row: dict[str, Any]) -> int:
    import torch

    from germline.forge import loop, trainable
    from germline.forge.fit import Fit, Setting, peak_bytes
    from germline.forge.machine import Arithmetic, peak_memory_bytes
    from germline.forge.shapes import shape
    from germline.model import weights
    from germline.settings import Training

    config = shape(row["shape"])
    path = Path(row["directory"]) / f"{row['shape']}.safetensors"
    if not path.exists():
        write_random(path, config)
    training = Training(
        method=row.get("method", "lora"), rank=row.get("rank", 16), embeddings=row.get("embeddings", False),
        learning_rate=1e-4, optimizer="adamw8bit" if row.get("eight") else "adamw", dtype=row.get("dtype", "bf16"),
    )  # fmt: skip
    on = Arithmetic(torch.float32 if row.get("dtype") == "fp32" else torch.bfloat16, "cpu")
    setting = Setting(
        bits=row["bits"], recomputed_layers=row["recompute"], micro_tokens=row["micro"], row_tokens=row["row"]
    )
    fit = Fit(on=on, threads=2, setting=setting, compiled=False, peak_bytes=0, seconds=0.0, reasons=())
    in_full = trainable.in_full(training)
    decoder = weights.load(config, path, on.dtype, bits=row["bits"], in_full=in_full)
    with tempfile.TemporaryDirectory() as scratch:
        batches = random_batches(config.vocabulary, row["micro"], row["row"])
        loop.train(decoder, batches, training, fit, scratch=Path(scratch), on_event=lambda event: None)
    print(json.dumps({"predicted": peak_bytes(config, training, on, setting), "peak": peak_memory_bytes()}))
    return 0


def write_random(path: Path, config: Any) -> None:
    """Weights of this shape from a seed, one tensor in memory at a time."""
    import torch

    from germline.model import weights

    random = torch.Generator().manual_seed(0)
    shapes = weights.layout(config)
    with path.open("wb") as file:
        made = ((name, torch.randn(shapes[name], generator=random) * 0.02) for name in sorted(shapes))
        weights.write(file, shapes, made, torch.bfloat16)


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
