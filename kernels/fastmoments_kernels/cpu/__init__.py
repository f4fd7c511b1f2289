"""Numba: the vocabulary in machine code, and the loops. No activation is named here."""
