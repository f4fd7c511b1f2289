"""Readings: each carries something of a Gaussian through a graph. They know no library's operations."""
