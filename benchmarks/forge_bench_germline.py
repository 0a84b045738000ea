"""germline's side of forge_bench.py, and what both sides read. All that the benchmark asks of germline is in here."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from germline.settings import Training

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLE_TOKENS, ANSWER_TOKENS = 100, 20
"""Fine-tuning rows are examples of this length, of which only the end is learned."""


def germline_child(case: dict[str, Any]) -> dict[str, Any]:
    """Train as `case` says with germline; as `trl_child`. The one place that knows how germline is asked to train."""
    import torch
    from safetensors.torch import load_file

    from germline.forge import loop
    from germline.forge.fit import fit
    from germline.forge.machine import machine
    from germline.model import weights
    from germline.model.families import read_config
    from germline.model.rows import Text, pack
    from germline.records import Event

    rows, model, size = load_file(Path(case["set"]) / "rows.safetensors"), Path(case["model"]), case["batch"]
    texts = [Text(tuple(t), tuple(c)) for t, c in zip(rows["tokens"].tolist(), rows["learned"].tolist(), strict=True)]
    cuts = range(0, len(texts), size)
    batches = _Batches(pack([[text] for text in texts[i : i + size]], case["row_tokens"]) for i in cuts)
    config, training = read_config(json.loads((model / "config.json").read_bytes())), _training(case)
    here = machine(training.device)
    tokens = size * case["row_tokens"]
    chosen = fit(
        config, training, row_tokens=case["row_tokens"], batch_tokens=tokens, here=here,
        memory_gb=case.get("memory_gb", 0.0),
    )  # fmt: skip
    torch.set_num_threads(chosen.threads)
    decoder = weights.load(
        config, model / "model.safetensors", chosen.on.dtype, bits=chosen.setting.bits, device=chosen.on.device
    )
    ends = [time.perf_counter()]

    def on_event(event: Event) -> None:
        if event.kind == "step":
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as scratch:
        trained = loop.train(decoder, batches, training, chosen, scratch=Path(scratch), on_event=on_event)
    return {
        "step_seconds": [end - begin for begin, end in itertools.pairwise(ends)],
        "losses": list(trained.curve),
        "trained_parameters": sum(parameter.numel() for parameter in decoder.parameters() if parameter.requires_grad),
        "notes": {
            "packed": chosen.setting.bits or "no", "recomputed layers": chosen.setting.recomputed_layers,
            "tokens at once": chosen.setting.micro_tokens, "compiled": chosen.compiled, "threads": chosen.threads,
            "predicted peak": f"{chosen.peak_bytes / 1e9:.2f} GB",
        },
    }  # fmt: skip


def _training(case: Mapping[str, Any]) -> Training:
    """germline's plan for `case`: what a case leaves open is not left to what memory is free."""
    from germline.settings import Training

    return Training(
        **case["plan"], warmup=0.0, anchor=0.0, noise=0.0, device=case.get("device", "cpu"), dtype=case["arithmetic"],
        quantize="nf4" if case["weights"] == "nf4" else "none", recompute="all" if case["recompute"] else "none",
        compile="on" if case.get("compiled") else "off",
    )  # fmt: skip


class _Batches(list[Any]):
    """`germline.model.rows.Batches`, all of them in memory."""

    @property
    def real_tokens(self) -> int:
        return sum(batch.real_tokens for batch in self)

    @property
    def learned_tokens(self) -> int:
        return sum(batch.learned_tokens for batch in self)


def prepare_child(case: dict[str, Any]) -> dict[str, Any]:
    """Write what both sides read: the model, the rows, the adapter's first factors, the rate of every step."""
    import torch
    from safetensors.torch import save_file

    from germline.forge.loop import share_of_peak
    from germline.model.adapter import LoraConfig, attach
    from germline.model.decoder import Decoder
    from germline.model.families import read_config

    model, folder = Path(case["model"]), Path(case["set"])
    if not (model / "config.json").exists():
        _write_model(model, case["shape"])
    raw = json.loads((model / "config.json").read_bytes())
    some = {"weights": "bf16", "arithmetic": "bf16", "recompute": False}
    config, training = read_config(raw), _training({**case, **some})
    folder.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        empty = Decoder(config, torch.bfloat16)
    adapter = LoraConfig(rank=training.rank, alpha=training.alpha, targets=training.targets)
    factors = attach(empty, adapter, training.seed)
    save_file({name: factor.detach() for name, factor in factors.items()}, folder / "start.safetensors")
    shares = [share_of_peak(step, case["steps"], training.warmup) for step in range(case["steps"])]
    rates = [training.learning_rate * share for share in shares]
    (folder / "rates.json").write_text(json.dumps(rates))
    count = case["steps"] * case["batch"] * case["row_tokens"]
    if case["shape"]:
        stream = torch.randint(config.vocabulary, (count,), generator=torch.Generator().manual_seed(1))
    else:
        stream = torch.tensor(_text_tokens(model / "tokenizer.json", raw["eos_token_id"], count))
    learned = torch.ones(count, dtype=torch.bool)
    if case["answers"]:
        learned = torch.arange(count) % EXAMPLE_TOKENS >= EXAMPLE_TOKENS - ANSWER_TOKENS
    rows = {"tokens": stream.view(-1, case["row_tokens"]), "learned": learned.view(-1, case["row_tokens"])}
    save_file(rows, folder / "rows.safetensors")
    return {"parameters": config.parameters, "eos": raw["eos_token_id"], "learned": float(learned.float().mean())}


def _text_tokens(tokenizer_file: Path, eos: int, count: int) -> list[int]:
    """The first `count` tokens of this repository's texts, each ended by `eos`, over and over."""
    from germline.tokenizer.text import Tokenizer

    tokenizer = Tokenizer.from_json(tokenizer_file.read_bytes(), eos_id=eos)
    tokens: list[int] = []
    files = [*sorted((REPOSITORY / "examples").rglob("*.md")), *sorted(REPOSITORY.glob("*.md"))]
    texts = [path.read_text(encoding="utf-8") for path in files]
    while len(tokens) < count:
        for ids in tokenizer.encode_batch(texts):
            tokens += [*ids, eos]
    return tokens[:count]


def _write_model(directory: Path, shape: Mapping[str, Any] | None) -> None:
    """A model directory in bf16: the demo's founder, or random weights of `shape`, one tensor at a time."""
    import torch
    from torch import Tensor

    from germline.model import weights
    from germline.model.families import read_config
    from germline.model.founder_source import read_founder

    founder = read_founder("demo")
    config = dict(shape or {**founder.config, "torch_dtype": "bfloat16"})
    layout = weights.layout(read_config(config))

    def random() -> Iterator[tuple[str, Tensor]]:
        generator = torch.Generator().manual_seed(0)
        for name, size in sorted(layout.items()):
            norm = name.endswith("norm.weight")
            yield name, torch.ones(size) if norm else torch.empty(size).normal_(0.0, 0.02, generator=generator)

    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "model.safetensors").open("wb") as file:
        weights.write(file, layout, random() if shape else founder.tensors(), torch.bfloat16)
    (directory / "tokenizer.json").write_bytes(founder.tokenizer_json)
    (directory / "config.json").write_text(json.dumps(config))  # last: its presence says the directory is whole
