"""Planted neurons: a small transformer whose neurons compute known functions of the text, so that truth is in weights.

``rules`` says what each neuron computes, ``draw`` draws rules by a seed, ``construction`` makes the weights, ``text``
writes a corpus in which all of them fire, and ``folder`` saves model, truth and corpus.
"""
