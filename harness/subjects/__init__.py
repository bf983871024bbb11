"""Subjects, models whose neurons are read and replaced; the corpora they read; and excerpts collected from these."""
