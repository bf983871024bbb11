"""Explanations of a run in the formats of other tools, from which our importers read them back."""
