"""The published analysis redone on its toy and on real cell lines, with every figure."""

from unbatch.demo.run import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
