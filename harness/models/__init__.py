"""Language models behind explainers and simulators; nothing here knows of neurons."""
