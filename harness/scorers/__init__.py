"""Scorers: what is asked about simulated explanations, and what the answers are worth; one file each."""
