"""The `jit` backend: the steps of NumPy, with loops that Numba compiles. Only `loops` imports Numba."""
