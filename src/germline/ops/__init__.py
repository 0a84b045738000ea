"""The arithmetic of a decoder, each operation with its own backward: what training and answering are made of.

Autograd's own graph would keep every intermediate and walk memory once per elementary step. Here an
operation keeps only what its backward cannot cheaply make again, products go to the matrix units, and
what lies between products is done in one pass (`pointwise`). Every operation has a plain reference in
`tests/model/test_ops.py`.

Nothing here knows of layers, families or training. All of it runs on any torch device.
"""
