"""Weights: found by name, converted once from GGUF, and loaded from safetensors alone."""

from harness.weights.conversion import converted
from harness.weights.places import EMBEDDED, Location, gguf_file, identify, locate
from harness.weights.reading import DTYPES, Loaded, check_dtype, load, load_tokenizer

__all__ = [
    "DTYPES",
    "EMBEDDED",
    "Loaded",
    "Location",
    "check_dtype",
    "converted",
    "gguf_file",
    "identify",
    "load",
    "load_tokenizer",
    "locate",
]
