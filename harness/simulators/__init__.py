"""Simulators: methods that predict activations from an explanation, mostly by slots that a language model reads."""
