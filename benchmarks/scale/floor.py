"""The floor: read every block of a file with the package's own reader and add up the values, nothing else.

python floor.py FILE
"""

import sys

import numpy as np

from unbatch.io.source import open_counts

if __name__ == "__main__":
    total = 0.0
    for block in open_counts(sys.argv[1]).blocks():
        total += float(np.sum(block.counts.data, dtype=np.float64))
    print(f"{total:.0f}")
