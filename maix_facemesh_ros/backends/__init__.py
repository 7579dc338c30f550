"""Backends run the networks. `base` has the protocols, `registry` opens a backend by name."""
