"""Explanations that people or other projects have written."""
