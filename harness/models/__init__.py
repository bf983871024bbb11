"""Language models behind explainers and simulators; nothing in this package knows of neurons."""
