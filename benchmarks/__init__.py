"""The benchmark of `make bench`: this package beside what else finds face landmarks."""
