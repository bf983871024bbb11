"""What holds for every test: fixtures that all rooms share, the examples of property tests, threads, and garbage.

The fixtures are a plugin of their own, ``tests.fixtures``, whose imports take seconds: the process that only hands
tests out to workers does without them.
"""

from __future__ import annotations

import gc
import os

import hypothesis
import pytest

# Property tests draw the same examples each time in `make test`, so that no tree is red by chance, and others each time
# in `make fuzz`. A test of an invariance is not a test of speed: on a busy machine a deadline fails it for nothing.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("fuzz", max_examples=1000, deadline=None, print_blob=True)
hypothesis.settings.load_profile("same")


def pytest_configure(config: pytest.Config) -> None:
    """Load what tests need; give each of several workers one thread, since with more each product waits for others."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if not is_worker and config.getoption("dist", "no") != "no":
        return
    gc.disable()  # until all is imported: it would go over the same objects again and again
    config.pluginmanager.import_plugin("tests.fixtures")
    if is_worker:
        import torch

        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"  # for the commands that tests run


def pytest_collection_finish() -> None:
    """Leave the modules that are imported by now out of garbage collection, which otherwise goes over them all."""
    gc.enable()
    gc.collect()
    gc.freeze()
