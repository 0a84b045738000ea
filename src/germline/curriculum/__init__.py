"""The curriculum: what is read, in which order, with how much of the past, in rows that waste nothing."""
