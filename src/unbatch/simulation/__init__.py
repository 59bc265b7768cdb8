"""Counts simulated with known truth."""

from unbatch.simulation.options import SimulationOptions
from unbatch.simulation.write import simulate

__all__ = ["SimulationOptions", "simulate"]
