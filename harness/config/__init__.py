"""Settings, their composition by Hydra, and the objects that config nodes name."""
