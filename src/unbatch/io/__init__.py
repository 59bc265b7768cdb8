"""Where cells come from and where results go."""
