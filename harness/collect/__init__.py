"""One pass over a corpus: what is read, what is kept of each unit, and what others have published."""
