"""germline: a small language model, grown generation by generation on its owner's own machine."""

import os

__version__ = "0.1.0"

# torch asks for large tensors' memory anew each time; in pages of 2 MB instead of 4 KB (Linux, where allowed)
# unpacking a 4-bit matrix takes 12 ms instead of 27. torch reads this when it first allocates.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
