"""The forge: the only code that trains."""
