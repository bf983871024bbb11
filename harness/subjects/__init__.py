"""Subjects: models whose neurons are read and replaced, the text they read, and the excerpts collected from it."""
