"""TRL's side of forge_bench.py: the same rows through its SFTTrainer with a PEFT adapter.

Whatever a case does not name is left as TRL, PEFT and transformers have it. What is set besides, so that both sides
learn the same: the adapter's first factors, the learning rate of each step, AdamW's constants, the order of the rows.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

IGNORED = -100
"""The label of a token that carries no loss."""


def trl_child(case: dict[str, Any]) -> dict[str, Any]:
    """Train as `case` says; the seconds and the loss of every step, and what ran them.

    Raises RuntimeError when the trainer's own loader would not bring the rows of `case` in their order.
    """
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    if case.get("device") != "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch
    import transformers
    from peft import LoraConfig
    from safetensors.torch import load_file
    from trl import SFTTrainer

    transformers.utils.logging.set_verbosity_error()
    plan, model = case["plan"], Path(case["model"])
    rows = load_file(Path(case["set"]) / "rows.safetensors")
    clock = _clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=str(model),
            args=_arguments(case, folder),
            train_dataset=_dataset(rows),
            processing_class=_tokenizer(model, case["eos"]),
            quantization_config=_quantization(case["arithmetic"]) if case["weights"] == "nf4" else None,
            peft_config=LoraConfig(
                r=plan["rank"], lora_alpha=plan["alpha"], target_modules=plan["targets"], task_type="CAUSAL_LM"
            ),
            callbacks=[clock],
        )
        _start_alike(trainer, load_file(Path(case["set"]) / "start.safetensors"))
        _schedule(trainer, json.loads((Path(case["set"]) / "rates.json").read_text()))
        _check_order(trainer, rows["tokens"])
        trainer.train()
    trained = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    base = trainer.model.get_base_model()
    return {
        "step_seconds": clock.seconds,
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "trained_parameters": sum(parameter.numel() for parameter in trained),
        "notes": {
            "adapter": str(trained[0].dtype).removeprefix("torch."),
            "embeddings": str(base.get_input_embeddings().weight.dtype).removeprefix("torch."),
            "attention": base.config._attn_implementation,
            "optimizer": str(getattr(trainer.args.optim, "value", trainer.args.optim)),
            "autocast": bool(trainer.args.bf16),
            "checkpointing": bool(base.is_gradient_checkpointing),
            "threads": torch.get_num_threads(),
        },
    }


def _arguments(case: dict[str, Any], folder: str) -> Any:
    from trl import SFTConfig

    plan = case["plan"]
    loading = {"dtype": "float32" if "fp32" in (case["weights"], case["arithmetic"]) else "bfloat16"}
    if case.get("attention"):
        loading["attn_implementation"] = case["attention"]
    return SFTConfig(
        output_dir=folder, use_cpu=case.get("device") != "cuda", bf16=case["arithmetic"] == "bf16",
        gradient_checkpointing=case["recompute"],
        model_init_kwargs=loading, per_device_train_batch_size=case["batch"], max_steps=case["steps"],
        max_length=case["row_tokens"], packing=True, packing_strategy="wrapped",
        train_sampling_strategy="sequential", learning_rate=plan["learning_rate"], adam_beta1=0.9, adam_beta2=0.99,
        weight_decay=0.0, max_grad_norm=plan["clip"], logging_steps=1, report_to="none", save_strategy="no",
        dataloader_pin_memory=False, disable_tqdm=True,
    )  # fmt: skip


def _dataset(rows: dict[str, Any]) -> Any:
    """Rows that packing leaves as they are, with labels of their own."""
    from datasets import Dataset

    labels = rows["tokens"].masked_fill(~rows["learned"], IGNORED)
    return Dataset.from_dict({"input_ids": rows["tokens"].tolist(), "labels": labels.tolist()})


def _tokenizer(model: Path, eos: int) -> Any:
    """The tokenizer beside the model; TRL asks it for a token to pad with, which full rows never need."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(model / "tokenizer.json"))
    tokenizer.eos_token = tokenizer.pad_token = tokenizer.convert_ids_to_tokens(eos)
    return tokenizer


def _quantization(arithmetic: str) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype={"bf16": torch.bfloat16, "fp32": torch.float32}[arithmetic],
    )  # fmt: skip


def _start_alike(trainer: Any, start: dict[str, Any]) -> None:
    """Put germline's first factors into PEFT's adapter, by name; every trained tensor must be among them."""
    import torch

    mine = {
        name.replace(".default.", "."): parameter
        for name, parameter in trainer.model.named_parameters()
        if parameter.requires_grad
    }
    if mine.keys() != start.keys():
        raise RuntimeError(f"PEFT trains {len(mine)} tensors, germline {len(start)}, under other names")
    with torch.no_grad():
        for name, parameter in mine.items():
            parameter.copy_(start[name])


def _schedule(trainer: Any, rates: list[float]) -> None:
    """The optimizer as the trainer makes it, with the learning rate of each step as in `rates`."""
    from torch.optim.lr_scheduler import LambdaLR

    optimizer = trainer.create_optimizer()
    peak = trainer.args.learning_rate
    trainer.lr_scheduler = LambdaLR(optimizer, lambda step: rates[min(step, len(rates) - 1)] / peak)


def _check_order(trainer: Any, tokens: Any) -> None:
    import torch

    seen = torch.cat([batch["input_ids"] for batch in trainer.get_train_dataloader()])
    if not torch.equal(seen, tokens):
        raise RuntimeError("the trainer's loader brings other rows, or in another order")


def _clock() -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Seconds from the beginning of a step to the end of its optimizer update."""

        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._began = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self._began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.seconds.append(time.perf_counter() - self._began)

    return Clock()
