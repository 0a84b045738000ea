"""What Unsloth, TRL, PEFT and transformers call what is a setting here, for whoever comes with a notebook of theirs."""

from __future__ import annotations

HERE = {
    "r": "training.rank",
    "lora_alpha": "training.alpha",
    "target_modules": "training.targets; left out, all linear layers",
    "modules_to_save": "training.embeddings = true",
    "use_rslora": "training.alpha: updates are scaled by alpha / rank",
    "full_finetuning": 'training.method = "full"',
    "load_in_4bit": 'training.quantize = "nf4"; left out, weights are packed only where they would not fit',
    "load_in_8bit": 'training.quantize = "int8"',
    "bf16": 'training.dtype = "bf16"',
    "fp16": "needless: there is fp32 and bf16; training.dtype, left out, takes what the machine multiplies",
    **dict.fromkeys(
        ("use_gradient_checkpointing", "gradient_checkpointing"),
        "training.recompute; left out, as much as memory asks for",
    ),
    **dict.fromkeys(("max_seq_length", "max_length"), "curriculum.row_tokens; what is longer goes on in the next row"),
    "bias": "needless: biases stay as they are",
    "per_device_train_batch_size": "curriculum.batch_tokens: tokens a step, and how many go at once is worked out",
    "gradient_accumulation_steps": "curriculum.batch_tokens: tokens a step, and how many go at once is worked out",
    "num_train_epochs": "curriculum.epochs, and curriculum.documents",
    "max_steps": "budget.steps, at which evolve stops, and goes on once it is raised",
    "warmup_steps": "training.warmup, a share of all steps",
    "warmup_ratio": "training.warmup",
    "max_grad_norm": "training.clip",
    "optim": "training.optimizer",
    "neftune_noise_alpha": "training.noise, a share of the embeddings' own size",
    "random_state": "training.seed",
    "save_steps": "training.checkpoint_every",
    "save_total_limit": "training.keep_checkpoints",
    "dataset_text_field": "needless: shapes of rows are known by their keys",
    "lora_dropout": "needless: there is no dropout, and training.noise is what keeps it from learning by heart",
    "lr_scheduler_type": "needless: the rate rises for training.warmup, then falls linearly to zero",
    "packing": "needless: short texts always share a row, and none sees another",
    **dict.fromkeys(
        ("train_on_responses_only", "assistant_only_loss", "completion_only_loss"),
        "needless: of a conversation the persona's replies alone are learned",
    ),
    **dict.fromkeys(("eval_strategy", "eval_steps"), "needless: every child sits exams, once it is trained"),
    "logging_steps": "needless: every step is shown, and its loss kept",
}
"""Their name -> ours, or why there is none."""
