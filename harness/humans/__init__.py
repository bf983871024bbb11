"""Human baselines: people who explain units, rate explanations, simulate activations and find intruders."""
