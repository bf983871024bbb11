"""Tasks: units and excerpts frozen under a digest, so that every row of a board is measured on the same."""
