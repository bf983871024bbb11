"""Methods that predict activations from an explanation: they place slots, a model backend reads them."""
