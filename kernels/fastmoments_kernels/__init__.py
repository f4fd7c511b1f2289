"""Compiled kernels for Gaussian moments: formulas written once, schedules per backend."""
