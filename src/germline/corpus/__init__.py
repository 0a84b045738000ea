"""Text in: from the files a plan names to an immutable delta, with every row kept or refused and counted.

`read` -> `clean` -> `split` are iterators, so that a corpus of any size passes through in constant memory.
`facts` finds, by rule, what the delta can be examined on.
"""
