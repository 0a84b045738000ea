"""A generation written for others: GGUF, a Hugging Face directory, a PEFT adapter; and compared with what they read."""
