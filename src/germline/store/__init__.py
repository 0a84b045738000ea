"""What a lineage keeps on disk, and the proof that it is still what was put there.

    home         where a lineage lies, and how it is found
    disk         the write door: the only module that creates, replaces or removes anything in a home
    objects      bytes, named by their SHA-256
    generations  manifests: which objects a generation is made of
    ledger       what happened, as a chain of entries; HEAD follows from it
    lock         one germline at a time
    verify       re-derives everything and lists all that is wrong

What is published is never changed. Nothing here needs more than the standard library and filelock.
"""
