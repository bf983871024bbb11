"""Models behind OpenAI-compatible servers: requests, limits, probes and readings."""
