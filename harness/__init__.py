"""neurogloss: how well does one language model explain the neurons of another?

The stages of a run are the modules of this package, in the order in which :mod:`harness.pipeline` calls them; the
values that pass between them are all in :mod:`harness.types`.
"""
