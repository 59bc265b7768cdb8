"""Whether the answer can be trusted: was a correction needed, allowed, enough and not too much."""

from unbatch.core.diagnostics.mixing import expected_same_batch_share, same_batch_share
from unbatch.core.diagnostics.overlap import Overlap, overlap

__all__ = ["Overlap", "expected_same_batch_share", "overlap", "same_batch_share"]
