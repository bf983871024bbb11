"""Explainers, one file for each method; people and lookup tables are explainers too."""
