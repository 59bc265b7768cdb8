"""A pytest plugin that leaves the compiled leaves as Python, so that coverage sees their lines, for `make coverage`.

NUMBA_DISABLE_JIT=1 would do the same, but for `py_func`, by which tests reach a leaf's Python beside its machine code.
"""

import numba


def _leave(*leaves, **_options):
    if not leaves:
        return _leave  # called with options only: what it returns decorates
    leaves[0].py_func = leaves[0]
    return leaves[0]


numba.njit = _leave
