"""What a lineage keeps on disk, and the proof that it is still what was put there.

    home         where a lineage lies, and how it is found
    disk         the write door: the only module that creates, replaces or removes anything in a home
    objects      bytes, named by their SHA-256
    generations  manifests: which objects a generation is made of
    keys         the keys that sign, kept outside every lineage
    entry        one thing that happened, its digest and its signatures
    rules        what may follow on what, and who must sign it
    ledger       what happened, as a chain of entries; HEAD follows from it
    witness      what was seen of a ledger, kept outside: finds one that is cut short or an older copy
    lock         one germline at a time
    verify       re-derives everything and lists all that is wrong
    archive      one generation as a file for cold storage, and how such a file is read
    restore      a lineage out of an archive
    held         what an archive held that a lineage was restored from

What is published is never changed. Nothing here needs more than the standard library, filelock and cryptography.
"""
