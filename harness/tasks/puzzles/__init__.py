"""Puzzles: made-up neurons whose explanation is known to be true, which tell which simulator can be trusted."""
