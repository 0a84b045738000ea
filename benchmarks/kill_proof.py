"""SIGKILL the forge again and again, also amid a step's micro-batches: it must end with the bytes of a run left alone.

    make proof-kill            (about five minutes on two cores; writes benchmarks/kill_proof.md)

LoRA, QLoRA with recomputed layers, full fine-tuning and full fine-tuning with 8-bit moments, each on a
random model of 3 million weights, four micro-batches a step, a checkpoint every second step. One run is left alone. The
other is killed at random instants and started again, each time from what the last death left, until it
has died often enough; then it may end. Both must leave the same adapter and the same loss curve.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RESULT = Path(__file__).with_suffix(".md")
STEPS, MICRO_BATCHES = 40, 4
METHODS: dict[str, dict[str, Any]] = {
    "LoRA": {},
    "QLoRA (nf4, recomputed)": {"quantize": "nf4", "recompute": "all"},
    "full": {"method": "full", "learning_rate": 1e-3},
    "full, 8-bit AdamW": {"method": "full", "learning_rate": 1e-3, "optimizer": "adamw8bit"},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="deaths per method")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(given.child[0], Path(given.child[1]))
    dice = random.Random(given.seed)
    lines, equal = [], True
    for method in METHODS:
        with tempfile.TemporaryDirectory() as folder:
            whole, killed = Path(folder) / "whole", Path(folder) / "killed"
            expected, inside = run(method, whole, None)
            deaths = within = 0
            while True:
                patience = dice.randrange(1, MICRO_BATCHES * 6) if deaths < given.kills else None
                found, inside = run(method, killed, patience)
                if found:
                    break
                deaths, within = deaths + 1, within + inside
        equal &= found == expected
        told = "equal" if found == expected else "DIFFERENT"
        lines.append(f"| {method} | {deaths} | {within} | {told} | `{expected[:16]}` |")
        print(lines[-1], flush=True)
    RESULT.write_text("\n".join([
        "# A killed training ends with the bytes it would have had",
        "",
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, seed {given.seed}, `make proof-kill`. "
        f"{STEPS} steps of {MICRO_BATCHES} micro-batches, a checkpoint every second step; each start goes on from what "
        "the last SIGKILL left.",
        "",
        "| training | SIGKILLs, chained | of them inside a step | adapter and curve | SHA-256 |",
        "| --- | ---: | ---: | --- | --- |",
        *lines,
        "",
    ]), encoding="utf-8")  # fmt: skip
    return 0 if equal else 1


def run(method: str, directory: Path, patience: int | None) -> tuple[str, bool]:
    """Train; the digest of what it left, or "" if it was killed after `patience` micro-batches of this process,
    and whether that was inside a step."""
    directory.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", method, str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for seen, line in enumerate(process.stdout, 1):
        if line.startswith("done "):
            process.wait()
            return line.split()[1], False
        if seen == patience:
            process.kill()
            process.wait()
            return "", line.strip() != "micro-batch 4"
    raise SystemExit(f"the child of {method} ended with {process.wait()}")


def child(method: str, directory: Path) -> int:
    import torch

    from germline.forge import fit as forge_fit
    from germline.forge import loop, trainable
    from germline.forge.machine import machine
    from germline.model import weights
    from germline.model.families import read_config
    from germline.settings import Training

    torch.set_num_threads(2)
    config = read_config({
        "model_type": "llama", "vocab_size": 2048, "hidden_size": 192, "intermediate_size": 512,
        "num_hidden_layers": 6, "num_attention_heads": 6, "num_key_value_heads": 2, "tie_word_embeddings": True,
    })  # fmt: skip
    path = directory.parent / "model.safetensors"
    if not path.exists():
        random_weights(path, config)
    training = Training(**{"checkpoint_every": 2, "learning_rate": 3e-3, "compile": "off", **METHODS[method]})
    fit = forge_fit.fit(config, training, row_tokens=128, batch_tokens=128, here=machine("cpu"))
    decoder = weights.load(config, path, fit.on.dtype, bits=fit.setting.bits, in_full=trainable.in_full(training))
    seen = 0

    def tell(module: object, inputs: object, output: object) -> None:
        nonlocal seen
        seen += 1
        print(f"micro-batch {(seen - 1) % MICRO_BATCHES + 1}", flush=True)

    decoder.register_forward_hook(tell)  # it only speaks: the bytes are those of a silent run
    made = loop.train(decoder, batches(), training, fit, scratch=directory, on_event=lambda event: None)
    digest = hashlib.sha256(made.adapter.read_bytes() + json.dumps(made.curve).encode()).hexdigest()
    print(f"done {digest}", flush=True)
    return 0


def random_weights(path: Path, config: Any) -> None:
    import torch

    from germline.model import weights

    dice = torch.Generator().manual_seed(0)
    shapes = weights.layout(config)
    tensors = ((name, torch.randn(shapes[name], generator=dice) * 0.05) for name in sorted(shapes))
    with path.open("wb") as file:
        weights.write(file, shapes, tensors, torch.float32)


def batches() -> Any:
    """Each step four rows of 128, one at a time through the model."""
    import torch

    from germline.model.rows import Batch

    class All(list[Batch]):
        real_tokens = learned_tokens = STEPS * MICRO_BATCHES * 128

    dice = torch.Generator().manual_seed(1)
    shape = (MICRO_BATCHES, 128)
    learned = torch.rand(shape, generator=dice) < 0.7
    learned[:, 0] = False
    return All(
        Batch(
            torch.randint(0, 2048, shape, generator=dice), torch.zeros(shape, dtype=torch.int64),
            torch.arange(128).expand(shape), learned,
        )
        for _ in range(STEPS)
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
