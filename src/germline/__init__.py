"""germline: a small language model, grown generation by generation on its owner's own machine."""

__version__ = "0.1.0"
