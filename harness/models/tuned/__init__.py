"""The tuned simulator's model: a small network over a frozen base."""
