"""Tests of the metrics themselves: does a metric see what it is supposed to see, on this task and with this simulator?

==================  ================================================================================================
test                a metric passes where
==================  ================================================================================================
missing labels      its score drops when half of a neuron's labels are taken away (:mod:`harness.audit.labels`)
extra labels        its score drops when as many labels as there are stand at the wrong tokens (the same)
shuffled            a neuron's own explanation outscores another neuron's (:mod:`harness.audit.nulls`)
random              it outscores words drawn from the corpus (the same)
re-initialised      it outscores explanations of a subject that has learned nothing (the same)
test-retest         asking the simulator again gives the same scores (:mod:`harness.audit.retest`)
==================  ================================================================================================

The label tests need no model but the subject, for the ablation scores. The others ask the run's own simulator, by way
of the store.
"""
