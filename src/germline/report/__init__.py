"""Looking at a lineage: each report is one document (what --json prints) and the lines that tell it.

Reads what is committed, writes nothing, loads no torch.
"""
