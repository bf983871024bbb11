"""Weights: found by name, converted once from GGUF, and loaded from safetensors alone."""

from harness.weights.conversion import converted
from harness.weights.places import EMBEDDED, Location, gguf_file, identify, locate
from harness.weights.reading import DTYPES, Loaded, check_dtype, device_of, load, load_tokenizer

__all__ = [
    "DTYPES",
    "EMBEDDED",
    "Loaded",
    "Location",
    "check_dtype",
    "converted",
    "device_of",
    "gguf_file",
    "identify",
    "load",
    "load_tokenizer",
    "locate",
]
