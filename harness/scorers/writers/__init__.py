"""Writers of texts that fit an explanation, and of near misses; one file each."""
