"""Methods that explain neurons, one file each; a person and a lookup table are explainers too."""
