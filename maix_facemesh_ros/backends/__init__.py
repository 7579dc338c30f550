"""Backends: where the networks run. `base` says what a backend is, `registry` opens one by name."""
