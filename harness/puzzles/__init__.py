"""Puzzles: texts with a known answer, whose activations are computed by a rule in code."""
