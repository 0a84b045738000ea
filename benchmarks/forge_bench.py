"""Training speed and memory of germline beside TRL + PEFT, on this machine's processor.

    make bench                 (installs both, about half an hour, writes benchmarks/forge_bench_<date>.md)
    python benchmarks/forge_bench.py [--quick] [--only REGEX] [--rounds N] [--out FILE] [--json FILE] [--work DIR]

Every number comes from a fresh process that trains a few steps and nothing else, one at a time, the two sides in
turn. Both read the same model files and the same rows in the same order, start from the same adapter and take the
same learning rates; a pair with the same arithmetic whose losses differ by more than 1 % fails the benchmark.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROW_TOKENS = 512
LIMIT = 0.01
"""Largest relative difference of two loss curves with the same arithmetic."""
WARM_UP = 2
"""Steps at the start of a process that are not measured."""
LONG, LONGEST = 300, 1800
"""Seconds; a process that took longer than the first is not run again, one that takes longer than the last is ended."""
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What a processor says that multiplies bf16 matrices in hardware."""
PLAN: dict[str, Any] = {
    "rank": 16, "alpha": 32.0, "learning_rate": 3e-4, "clip": 1.0, "seed": 0,
    "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}  # fmt: skip
PACKAGES = ("torch", "germline", "trl", "peft", "transformers", "accelerate", "bitsandbytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One row of the table: who trains, in which arithmetic."""

    who: str
    """`trl` or `germline`."""
    name: str
    weights: str
    """How the frozen weights are held: fp32, bf16 or nf4."""
    arithmetic: str = "bf16"
    """What matrices are multiplied in: bf16 or fp32."""
    recompute: bool = False
    """Activations are computed again in the backward pass: gradient checkpointing."""
    compiled: bool = False
    """germline alone: compile what lies between matrix products, as runs of more than ten minutes do."""
    attention: str = ""
    """TRL alone: `attn_implementation`; empty leaves it to transformers."""
    default: bool = False
    """What TRL does when nothing is asked of it."""
    twin: str = ""
    """The TRL row whose losses are compared with this one's."""
    exact: bool = False
    """The twin has the same arithmetic: its losses must agree within LIMIT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """Rows of the table that train the same model on the same tokens."""

    key: str
    title: str
    shape: dict[str, Any] | None
    """A config.json for random weights; None is SmolLM2-135M."""
    batch: int
    measured: int
    """Steps that are measured in one process."""
    rounds: int
    """Most processes per row."""
    sides: tuple[Side, ...]
    answers: bool = False
    """Only the ends of examples carry loss."""

    @property
    def model(self) -> str:
        """The folder that keeps the model."""
        return "random-{hidden_size}x{num_hidden_layers}".format(**self.shape) if self.shape else "smollm2"

    def steps(self, quick: bool) -> int:
        return WARM_UP + (min(2, self.measured) if quick else self.measured)


def _llama(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    """The config.json of a Llama 3.2 of this size."""
    scaling = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192}  # fmt: skip
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "hidden_act": "silu",
        "intermediate_size": 8192, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": 8, "head_dim": hidden // heads, "vocab_size": 128256, "rope_theta": 500000.0,
        "rope_scaling": scaling, "rms_norm_eps": 1e-5, "max_position_embeddings": 131072, "attention_bias": False,
        "mlp_bias": False, "tie_word_embeddings": True, "eos_token_id": 0, "torch_dtype": "bfloat16",
    }  # fmt: skip


TRL_BF16 = Side(who="trl", name="TRL, bf16 weights", weights="bf16")
TRL_BF16_AGAIN = Side(who="trl", name="TRL, bf16 weights, gradient checkpointing", weights="bf16", recompute=True)
TRL_NF4 = Side(who="trl", name="TRL QLoRA (NF4, double quant), gradient checkpointing", weights="nf4", recompute=True)
BF16 = Side(who="germline", name="germline bf16", weights="bf16", twin=TRL_BF16.name, exact=True)
BF16_AGAIN = Side(who="germline", name="germline bf16, recompute", weights="bf16", recompute=True,
                  twin=TRL_BF16_AGAIN.name, exact=True)  # fmt: skip
COMPILED = Side(who="germline", name="germline bf16, compiled", weights="bf16", compiled=True,
                twin=TRL_BF16.name, exact=True)  # fmt: skip
NF4_KEPT = Side(who="germline", name="germline nf4", weights="nf4")
NF4 = Side(who="germline", name="germline nf4, recompute", weights="nf4", recompute=True, twin=TRL_NF4.name)


def _in_fp32(side: Side, name: str, twin: str = "") -> Side:
    """The same on a processor that multiplies no bf16; NF4 is unpacked to fp32 there, and bf16 weights are fp32."""
    weights = "nf4" if side.weights == "nf4" else "fp32"
    return dataclasses.replace(side, name=name, weights=weights, arithmetic="fp32", twin=twin)


TRL_FP32 = _in_fp32(TRL_BF16, "TRL, fp32")
TRL_FP32_AGAIN = _in_fp32(TRL_BF16_AGAIN, "TRL, fp32, gradient checkpointing")
TRL_NF4_FP32 = _in_fp32(TRL_NF4, "TRL QLoRA in fp32 (NF4, double quant), gradient checkpointing")
FP32 = _in_fp32(BF16, "germline fp32", TRL_FP32.name)
FP32_AGAIN = _in_fp32(BF16_AGAIN, "germline fp32, recompute", TRL_FP32_AGAIN.name)
FP32_COMPILED = _in_fp32(COMPILED, "germline fp32, compiled", TRL_FP32.name)
NF4_FP32_KEPT = _in_fp32(NF4_KEPT, "germline nf4 in fp32")
NF4_FP32 = _in_fp32(NF4, "germline nf4 in fp32, recompute", TRL_NF4_FP32.name)

SETS = (
    Set(
        key="a", title="SmolLM2-135M, 4 rows of 512 tokens a step, every token learned", shape=None, batch=4,
        measured=5, rounds=9,
        sides=(
            Side(who="trl", name="TRL's defaults (fp32 weights, bf16 autocast, gradient checkpointing)",
                 weights="fp32", recompute=True, default=True),
            Side(who="trl", name="TRL, fp32 weights, bf16 autocast", weights="fp32"),
            TRL_BF16, TRL_BF16_AGAIN, TRL_NF4, BF16, COMPILED, BF16_AGAIN, NF4,
            TRL_FP32, TRL_FP32_AGAIN, TRL_NF4_FP32, FP32, FP32_COMPILED, FP32_AGAIN, NF4_FP32,
        ),
    ),
    Set(
        key="b", title="Llama-3.2-1B's shape, random weights, 1 row of 512 tokens a step", shape=_llama(2048, 16, 32),
        batch=1, measured=3, rounds=1,
        sides=(
            TRL_BF16_AGAIN, TRL_NF4, BF16_AGAIN, NF4, NF4_KEPT,
            TRL_FP32_AGAIN, TRL_NF4_FP32, FP32_AGAIN, NF4_FP32, NF4_FP32_KEPT,
        ),
    ),
    Set(
        key="c", title="Llama-3.2-3B's shape, random weights, 1 row of 512 tokens a step", shape=_llama(3072, 28, 24),
        batch=1, measured=2, rounds=1, sides=(NF4, NF4_FP32),
    ),
    Set(
        key="d", title="SmolLM2-135M, 4 rows of 512 tokens a step, one token in five learned", shape=None, batch=4,
        measured=5, rounds=9, answers=True, sides=(TRL_BF16, BF16, TRL_FP32, FP32),
    ),
)  # fmt: skip


# The processes that measure. Each of them imports torch; the parent never does.


def matmul_child(_: dict[str, Any]) -> dict[str, Any]:
    """FLOP/s of torch.mm, the best of a few shapes and layouts, each by its median; in bf16 only where the processor
    multiplies it, for elsewhere one product of these takes up to a minute."""
    import torch

    def rate(rows: int, inner: int, columns: int, dtype: torch.dtype, turned: tuple[bool, bool]) -> float:
        left = torch.randn((inner, rows) if turned[0] else (rows, inner)).to(dtype)
        right = torch.randn((columns, inner) if turned[1] else (inner, columns)).to(dtype)
        left, right = left.t() if turned[0] else left, right.t() if turned[1] else right
        seconds: list[float] = []
        deadline = time.perf_counter() + 0.6
        while not seconds or time.perf_counter() < deadline:
            began = time.perf_counter()
            torch.mm(left, right)
            seconds.append(time.perf_counter() - began)
        return 2 * rows * inner * columns / statistics.median(seconds)

    turns = [(a, b) for a in (False, True) for b in (False, True)]
    shapes = [(2048, 576, 1536), (2048, 2048, 2048)]
    flags = {name for name, has in torch.cpu.get_capabilities().items() if has is True}
    dtypes = {"fp32": torch.float32} | ({"bf16": torch.bfloat16} if flags & BF16_FLAGS else {})
    best = {
        name: max(rate(*shape, dtype, turn) for shape in shapes for turn in turns) for name, dtype in dtypes.items()
    }
    return {**best, "flags": sorted(flags & {"avx2", "avx512_bf16", "amx_bf16", "amx_tile", "bf16", "sve"})}


def child(case: dict[str, Any]) -> int:
    """Do what `case` says in this process and print its result as one line of JSON."""
    import resource

    from forge_bench_germline import germline_child, prepare_child
    from forge_bench_trl import trl_child

    work: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "germline": germline_child, "trl": trl_child, "prepare": prepare_child, "matmul": matmul_child,
    }  # fmt: skip
    result = work[case["do"]](case)
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({**result, "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}))
    return 0


# The parent.


def spawn(case: Mapping[str, Any]) -> dict[str, Any]:
    """The result of `case` in a fresh process, with its `seconds`; `error` instead when it fails, or is `late`."""
    began = time.monotonic()
    line = [sys.executable, __file__, "--child", json.dumps(case)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return {"error": f"not done in {LONGEST / 60:.0f} minutes", "late": True, "seconds": LONGEST}
    seconds = time.monotonic() - began
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {"error": lines[-1][:160] if lines else f"exit code {done.returncode}", "seconds": seconds}
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": seconds}


def measure(sets: Sequence[Set], only: str, rounds: int, quick: bool, work: Path) -> list[dict[str, Any]]:
    """One record per process that trained, in the order they ran, with the matmul rate taken beside it. Measured is
    what this machine multiplies in, and TRL's defaults, whatever they are; a line that took long is not measured again.
    """
    records: list[dict[str, Any]] = []
    own = "bf16" if BF16_FLAGS & set(must(spawn({"do": "matmul"}))["flags"]) else "fp32"
    for group in sets:
        able = [side for side in group.sides if side.default or side.arithmetic == own]
        chosen = [side for side in able if re.search(only, f"{group.key} {side.name}")]
        if not chosen:
            continue
        case = {
            "set": str(work / group.key), "model": str(work / group.model),
            "shape": group.shape, "batch": group.batch, "steps": group.steps(quick), "answers": group.answers,
            "row_tokens": ROW_TOKENS, "plan": PLAN,
        }  # fmt: skip
        ready = must(spawn({**case, "do": "prepare"}))
        for turn in range(min(rounds, group.rounds)):
            rate = must(spawn({"do": "matmul"}))
            slow = {r["name"] for r in records if r["set"] == group.key and r["seconds"] > LONG}
            for side in alternating([side for side in chosen if side.name not in slow]):
                result = spawn({**case, **dataclasses.asdict(side), "eos": ready["eos"], "do": side.who})
                records.append({
                    "set": group.key, "name": side.name, "round": turn, "parameters": ready["parameters"],
                    "matmul": rate, **result,
                })  # fmt: skip
                said = result.get("error") or f"{statistics.median(speeds([records[-1]], group)):,.0f} tokens/s"
                print(f"{group.key} {side.name}: {said}, {result['seconds']:.0f} s", file=sys.stderr, flush=True)
    return records


def must(result: dict[str, Any]) -> dict[str, Any]:
    """`result`, of a process without which there is nothing to measure; SystemExit where it failed."""
    if "error" in result:
        raise SystemExit(result["error"])
    return result


def alternating(sides: Sequence[Side]) -> list[Side]:
    """germline, TRL, germline, …, and then whoever is left."""
    queues = [[side for side in sides if side.who == who] for who in ("germline", "trl")]
    longest = max(map(len, queues))
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)]


def speeds(records: Sequence[Mapping[str, Any]], group: Set) -> list[float]:
    """Tokens per second of every measured step."""
    tokens = group.batch * ROW_TOKENS
    return [tokens / seconds for record in records for seconds in record["step_seconds"][WARM_UP:]]


# The report.


def tables(records: Sequence[Mapping[str, Any]], sets: Sequence[Set]) -> Iterator[str]:
    """A Markdown table for each set that was measured, one line per side."""
    for group in sets:
        found = {side.name: [r for r in records if (r["set"], r["name"]) == (group.key, side.name)]
                 for side in group.sides}  # fmt: skip
        good = {name: [r for r in runs if "error" not in r] for name, runs in found.items()}
        pace = {name: statistics.median(speeds(runs, group)) for name, runs in good.items() if runs}
        fastest = max((pace[side.name] for side in group.sides if side.who == "trl" and side.name in pace), default=0.0)
        default = next((pace[side.name] for side in group.sides if side.default and side.name in pace), 0.0)
        if not any(found.values()):
            continue
        yield f"\n## {group.title}\n"
        yield "| configuration | tokens/s | peak RSS, GB | × TRL's fastest | × TRL's defaults | 4P | work | s |"
        yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
        for side in group.sides:
            if side.name in pace:
                yield _line(side, good[side.name], group, pace[side.name], fastest, default)
            elif found[side.name]:
                yield f"| {side.name} | failed: {found[side.name][0]['error']} | | | | | | |"


def _line(
    side: Side, runs: Sequence[Mapping[str, Any]], group: Set, pace: float, fastest: float, default: float
) -> str:
    """One side: the median step of all its processes, its largest memory, and its share of the matmul rate."""
    each = speeds(runs, group)
    peak = max(run["peak_rss_bytes"] for run in runs) / 1e9
    needed, rate = pace * 4 * runs[0]["parameters"], max(run["matmul"].get(side.arithmetic, 0.0) for run in runs)
    shares = [f"{needed * again / rate:.0%}" if rate else "–" for again in (1.0, 1.5 if side.recompute else 1.0)]
    ratios = [f"{pace / base:.2f}" if base else "–" for base in (fastest, default)]
    return (
        f"| {side.name} | {pace:,.0f} ({min(each):,.0f}–{max(each):,.0f}) | {peak:.2f} | {ratios[0]} | {ratios[1]} "
        f"| {shares[0]} | {shares[1]} | {statistics.median(run['seconds'] for run in runs):.0f} |"
    )


def agreement(records: Sequence[Mapping[str, Any]], sets: Sequence[Set]) -> tuple[list[str], bool]:
    """Markdown lines on every pair whose losses can be compared, and whether all exact ones agree."""
    curves: dict[tuple[str, str], list[list[float]]] = {}
    for record in records:
        if "error" not in record:
            curves.setdefault((record["set"], record["name"]), []).append(record["losses"])
    lines, agreed = [], True
    for group in sets:
        for side in group.sides:
            pairs = [
                (mine, theirs)
                for mine in curves.get((group.key, side.name), [])
                for theirs in curves.get((group.key, side.twin), [])
            ]
            if not pairs:
                continue
            off = max(abs(a - b) / abs(b) for pair in pairs for a, b in zip(*pair, strict=True))
            agreed &= off <= LIMIT or not side.exact
            verdict = "other arithmetic" if not side.exact else "same" if off <= LIMIT else "**DIFFERENT**"
            mine, theirs = pairs[0]
            lines.append(
                f"| {group.key} | {side.name} | {side.twin} | {mine[0]:.4f} → {mine[-1]:.4f} "
                f"| {theirs[0]:.4f} → {theirs[-1]:.4f} | {off:.3%} | {verdict} |"
            )
    return lines, agreed


def report(records: Sequence[Mapping[str, Any]], sets: Sequence[Set]) -> tuple[str, bool]:
    """The Markdown of the whole benchmark, and whether nothing failed and all exact pairs agree."""
    rates = [record["matmul"] for record in records]
    peaks = [f"{max(rate[name] for rate in rates) / 1e12:.3f} TFLOP/s in {name}"
             for name in ("bf16", "fp32") if name in rates[0]]  # fmt: skip
    pairs, agreed = agreement(records, sets)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    notes = {
        f"- {record['name']}: " + ", ".join(f"{key} {value}" for key, value in record["notes"].items()): None
        for record in records
        if "error" not in record
    }
    lines = [
        "# Training speed and memory beside TRL + PEFT\n",
        f"`python benchmarks/forge_bench.py`, {datetime.date.today()}. {_machine(rates[0]['flags'])}",
        f"torch.mm at its best: {', '.join(peaks)}. {versions}.\n",
        INTRODUCTION.format(warm=WARM_UP),
        *tables(records, sets),
        "\n## Do both learn the same?\n",
        f"Largest relative difference of the two loss curves, step by step; at most {LIMIT:.0%} where the arithmetic "
        "is the same.\n",
        "| set | germline | TRL | its losses | TRL's | apart | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *pairs,
        "\n## What ran, as the processes found it\n",
        *notes,
    ]
    return "\n".join(lines) + "\n", agreed and not any("error" in r and "late" not in r for r in records)


INTRODUCTION = """\
LoRA of rank 16, alpha 32, on every linear layer; rows of 512 tokens, wrapped; AdamW; one process per measurement.
Tokens/s is the median step of all processes of a line (in brackets the slowest and the fastest step), the first
{warm} steps of each left out. Peak RSS is the whole process, libraries and mapped files included, 1 GB = 1e9 bytes.
4P: tokens/s x 4 x parameters, what LoRA needs of matrix products, as a share of torch.mm's rate in bf16, or in fp32
where that is what is multiplied; work: the same with 6 x parameters where activations are computed again. s: a whole
process, its start and its loading included. TRL's defaults multiply bf16 on every processor, fit for it or not."""


def _machine(flags: Sequence[str]) -> str:
    import psutil

    name = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        name = found[1] if found else name
    memory = psutil.virtual_memory().total / 1e9
    return f"{name}, {psutil.cpu_count(logical=False)} cores, {' '.join(flags)}, {memory:.0f} GB of memory."


def main(words: Sequence[str]) -> int:
    if words[:1] == ["--child"]:
        return child(json.loads(words[1]))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two measured steps, one process per line")
    parser.add_argument("--only", default="", metavar="REGEX", help="lines whose 'SET NAME' matches, as 'a germline'")
    parser.add_argument("--rounds", type=int, default=2, help="processes per line (large models: always one)")
    parser.add_argument("--out", type=Path, help="write the Markdown here instead of printing it")
    parser.add_argument("--json", type=Path, help="write every process's numbers here")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "germline_forge_bench",
                        help="where models and rows are kept, up to 10 GB")  # fmt: skip
    options = parser.parse_args(words)
    records = measure(SETS, options.only, 1 if options.quick else options.rounds, options.quick, options.work)
    if not records:
        parser.error(f"--only {options.only}: no line matches")
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    text, fine = report(records, SETS)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
