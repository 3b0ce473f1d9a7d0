"""Damaged files of every kind that the software reads, and what it does with them."""
