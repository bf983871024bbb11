"""A static site of a run: its board, and a page for each unit. It opens from disk and asks nothing of the network."""

from harness.report.site.build import FOLDER, write

__all__ = ["FOLDER", "write"]
