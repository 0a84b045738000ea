"""The model: its shape, its weights, its adapters, and how it speaks."""
