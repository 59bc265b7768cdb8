"""Gene-by-batch effects of single-cell count matrices by counterfactual matching."""
