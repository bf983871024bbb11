"""Code that several explainers share: asking, cleaning, excerpts as levels, views into the subject."""
