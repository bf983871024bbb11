"""Where finished runs go: trackers and published datasets."""
