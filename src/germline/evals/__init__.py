"""The exams: written from the delta before training, fixed by hash, inherited by every descendant."""
