"""Training of the tuned simulator: texts, rules over them, wordings of the rules, the training loop and its judge.

The benchmark runs without this package; ``make simulator`` uses it to make the adapter that ships.
"""
