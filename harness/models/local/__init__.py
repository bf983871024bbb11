"""Models that run in this process: generation and readings over tries of shared prefixes."""
