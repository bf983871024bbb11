"""Judges: a language model is told the explanation, and asked about excerpts (Paulo et al., arXiv 2410.13928).

A simulator has to say how strongly each token fires; a judge has only to tell excerpts apart, or tokens, which is
cheaper and asks less of an explanation. *Detection* asks whether the neuron fires in a text, *fuzzing* whether the
marked tokens of a text are those that it fires on. Which cases are put, and what the answers are worth, is said in
:mod:`harness.scores.judged`.
"""
