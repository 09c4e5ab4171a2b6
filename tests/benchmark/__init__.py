"""Timings, beside the plain loop that they are held against; `make bench` runs them."""
