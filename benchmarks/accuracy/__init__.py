"""The accuracy ruler: problems with known batch effects, methods that estimate them, scores."""
