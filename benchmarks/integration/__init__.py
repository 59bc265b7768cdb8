"""Parts of the integration benchmark. Those that run in another Python than ours import nothing of unbatch."""
