"""Counts simulated with known truth."""

from unbatch.simulation.options import SimulationOptions
from unbatch.simulation.write import simulate, simulate_to_file

__all__ = ["SimulationOptions", "simulate", "simulate_to_file"]
