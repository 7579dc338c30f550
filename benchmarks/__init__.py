"""The benchmark of `make bench`: this package beside what a user would pick instead."""
