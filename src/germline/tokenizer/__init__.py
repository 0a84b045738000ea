"""Text to ids and back: one wrapper for every tokenizer, and the training of a new one."""
