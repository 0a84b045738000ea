"""Training speed and memory on a GPU within 8 GB: germline beside TRL + PEFT, and Unsloth where it can be imported.

    python benchmarks/cuda_bench.py [--only REGEX] [--limit-gb GB] [--out FILE] [--work DIR]

The shapes of Llama 3.2, 1B and 3B, with random weights. As in forge_bench.py, whose rows these are, every number
comes from a fresh process that trains a few steps and nothing else, on the same model files and the same tokens.
Each process may hold `--limit-gb` of the GPU and no more, whatever the GPU has: what needs more fails, and says so.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.util
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import forge_bench
from forge_bench import BF16, BF16_AGAIN, NF4, NF4_KEPT, TRL_BF16, TRL_BF16_AGAIN, TRL_NF4, Set, Side

GIB = 1 << 30
UNSLOTH = Side(who="unsloth", name="Unsloth QLoRA, its own gradient checkpointing", weights="nf4", recompute=True)
SIDES = (BF16, BF16_AGAIN, NF4_KEPT, NF4, TRL_BF16, TRL_BF16_AGAIN, TRL_NF4, UNSLOTH)
SETS = tuple(
    dataclasses.replace(group, title=group.title.replace("1 row", "4 rows"), batch=4, measured=10, sides=SIDES)
    for group in forge_bench.SETS
    if group.key in ("b", "c")
)
NEEDS = {"germline": ("germline",), "trl": ("trl", "peft"), "unsloth": ("unsloth", "trl")}


def child(case: dict[str, Any]) -> dict[str, Any]:
    """Do what `case` says in this process, with no more of the GPU than `limit` bytes."""
    import torch
    from forge_bench_germline import germline_child, prepare_child
    from forge_bench_trl import trl_child

    torch.cuda.set_per_process_memory_fraction(min(1.0, case["limit"] / torch.cuda.mem_get_info()[1]))
    work = {
        "prepare": prepare_child, "matmul": matmul_child, "germline": germline_child, "trl": trl_child,
        "unsloth": unsloth_child,
    }  # fmt: skip
    result = work[case["do"]](case)
    return {**result, "reserved": torch.cuda.max_memory_reserved(), "allocated": torch.cuda.max_memory_allocated()}


def matmul_child(case: dict[str, Any]) -> dict[str, Any]:
    """FLOP/s of torch.mm in bf16: the best of a few shapes, each the mean of many products in a row."""
    import torch

    rates = []
    for rows, inner, columns in ((2048, 2048, 8192), (2048, 8192, 3072), (8192, 8192, 8192)):
        left = torch.randn(rows, inner, device="cuda", dtype=torch.bfloat16)
        right = torch.randn(columns, inner, device="cuda", dtype=torch.bfloat16).t()
        for count in (5, 50):  # the first few find the kernel
            torch.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(count):
                torch.mm(left, right)
            torch.cuda.synchronize()
            seconds = (time.perf_counter() - began) / count
        rates.append(2 * rows * inner * columns / seconds)
    return {"bf16": max(rates), "gpu": torch.cuda.get_device_name(), "torch": torch.__version__}


def unsloth_child(case: dict[str, Any]) -> dict[str, Any]:
    """As `trl_child`, with Unsloth's model and adapter, which starts from factors of its own."""
    from forge_bench_trl import _arguments, _clock, _dataset, _tokenizer
    from safetensors.torch import load_file
    from unsloth import FastLanguageModel  # before trl, which it changes

    from trl import SFTTrainer  # isort: skip

    plan, clock = case["plan"], _clock()
    model, _ = FastLanguageModel.from_pretrained(case["model"], max_seq_length=case["row_tokens"], load_in_4bit=True)
    model = FastLanguageModel.get_peft_model(
        model, r=plan["rank"], lora_alpha=plan["alpha"], target_modules=plan["targets"], lora_dropout=0,
        use_gradient_checkpointing="unsloth", random_state=plan["seed"],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arguments = _arguments(case, folder)
        arguments.model_init_kwargs = None
        trainer = SFTTrainer(
            model=model, args=arguments, processing_class=_tokenizer(Path(case["model"]), case["eos"]),
            train_dataset=_dataset(load_file(Path(case["set"]) / "rows.safetensors")), callbacks=[clock],
        )  # fmt: skip
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"step_seconds": clock.seconds, "losses": losses}


def spawn(case: Mapping[str, Any]) -> dict[str, Any]:
    """The result of `case` in a fresh process; `error` instead when it fails."""
    words = [sys.executable, __file__, "--child", json.dumps(case)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {"error": lines[-1][:160] if lines else f"exit code {done.returncode}"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def report(records: Sequence[Mapping[str, Any]], rate: Mapping[str, Any], limit: float) -> Iterator[str]:
    yield "# Training on a GPU, beside TRL + PEFT\n"
    yield f"`python benchmarks/cuda_bench.py`, {datetime.date.today()}. {rate['gpu']}, torch {rate['torch']}; "
    yield f"torch.mm in bf16 at its best: {rate['bf16'] / 1e12:.1f} TFLOP/s. Each process limited to {limit:g} GiB.\n"
    yield "Tokens/s: the median step (slowest–fastest). Peak: what torch's allocator held, and its tensors, GB (1e9)."
    yield "4P: tokens/s x 4 x parameters as a share of torch.mm's rate; what is computed again is not counted."
    for group in SETS:
        yield f"\n## {group.title}\n\n| configuration | tokens/s | peak | 4P | loss |\n| --- | --- | --- | --- | --- |"
        for record in (record for record in records if record["set"] == group.key):
            if "error" in record:
                yield f"| {record['name']} | failed: {record['error']} | | | |"
                continue
            each = forge_bench.speeds([record], group)
            pace, losses = statistics.median(each), record["losses"]
            yield (
                f"| {record['name']} | {pace:,.0f} ({min(each):,.0f}–{max(each):,.0f}) "
                f"| {record['reserved'] / 1e9:.2f} ({record['allocated'] / 1e9:.2f}) "
                f"| {pace * 4 * record['parameters'] / rate['bf16']:.0%} | {losses[0]:.4f} → {losses[-1]:.4f} |"
            )
    yield "\n| set | germline | TRL | its losses | TRL's | apart | verdict |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    yield from forge_bench.agreement(records, SETS)[0]


def measure(group: Set, only: str, limit: float, work: Path) -> Iterator[dict[str, Any]]:
    case = {
        "set": str(work / f"cuda-{group.key}"), "model": str(work / group.model), "shape": group.shape,
        "batch": group.batch, "steps": group.steps(False), "answers": False, "row_tokens": forge_bench.ROW_TOKENS,
        "plan": forge_bench.PLAN, "memory_gb": limit, "device": "cuda", "limit": limit * GIB,
    }  # fmt: skip
    sides = [side for side in group.sides if re.search(only, f"{group.key} {side.name}")]
    ready = forge_bench.must(spawn({**case, "do": "prepare"})) if sides else {}
    for side in sides:
        if not all(importlib.util.find_spec(name) for name in NEEDS[side.who]):
            continue
        result = spawn({**case, **dataclasses.asdict(side), "eos": ready["eos"], "do": side.who})
        print(f"{group.key} {side.name}: {result.get('error', 'done')}", file=sys.stderr, flush=True)
        yield {"set": group.key, "name": side.name, "parameters": ready["parameters"], **result}


def main(words: Sequence[str]) -> int:
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("cuda_bench: torch sees no CUDA device here; there is nothing to measure")
    if words[:1] == ["--child"]:
        print(json.dumps(child(json.loads(words[1]))))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="REGEX", help="lines whose 'SET NAME' matches, as 'b germline'")
    parser.add_argument("--limit-gb", type=float, default=8.0, help="GiB of the GPU that a process may hold")
    parser.add_argument("--out", type=Path, help="write the Markdown here too")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "germline_forge_bench",
                        help="where models and rows are kept, up to 10 GB")  # fmt: skip
    options = parser.parse_args(words)
    rate = forge_bench.must(spawn({"do": "matmul", "limit": options.limit_gb * GIB}))
    records = [r for group in SETS for r in measure(group, options.only, options.limit_gb, options.work)]
    text = "\n".join(report(records, rate, options.limit_gb)) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return int(any("error" in record for record in records))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
