"""Training the tuned simulator: texts, rules over them, wordings of the rules, the training loop and its judge.

Nothing here is needed to run the benchmark; ``make simulator`` makes the adapter that ships from it.
"""
