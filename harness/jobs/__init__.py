"""Jobs of the command line: a run, its estimate, a collection, an audit, a gallery of explainers."""
