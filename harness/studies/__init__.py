"""Tests of the metrics themselves: does a metric see what it is supposed to see, on this task and with this simulator?

==================  ================================================================================================
test                a metric passes where
==================  ================================================================================================
missing labels      its score drops when half of a unit's labels are taken away (:mod:`harness.studies.labels`)
extra labels        its score drops when as many labels as there are stand at the wrong tokens (the same)
shuffled            a unit's own explanation outscores another unit's (:mod:`harness.studies.nulls`)
random              it outscores words drawn from the corpus (the same)
re-initialised      it outscores explanations of a subject that has learned nothing (the same)
test-retest         asking the simulator again gives the same scores (:mod:`harness.studies.retest`)
==================  ================================================================================================

Each is rows of a run: nulls are explainers, labels and repeats are simulators, and the run's own scorers score them.
The label tests need no model but the subject, for the ablation scores. The others ask the run's own simulator, by way
of the store.
"""
