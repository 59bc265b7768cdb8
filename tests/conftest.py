"""One thread of BLAS for each worker of pytest, before any loads it.

Two workers with two threads each on two cores wait for each other, actively, for longer than they compute. What
depends on the number of threads is tested with numbers of its own.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
