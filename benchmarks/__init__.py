"""The benchmark of `make bench`: this package compared with alternatives."""
