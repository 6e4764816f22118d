"""The `numpy` backend: the algebra of the rules, fused, with no more than NumPy."""
