"""Numba leaves, one concept a file: raw arrays and scalars in, results written to arrays that the caller made."""
