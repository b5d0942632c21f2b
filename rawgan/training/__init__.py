"""Training: `rawgan.train`, the run it returns, and what a run keeps on disk.

run = rawgan.train("mlp", data="digits", epochs=20, out="runs/first")
run.sample(64, seed=1)            # pictures in [0, 1]
rawgan.load("runs/first")         # later
"""

from rawgan.training.loop import train
from rawgan.training.run import Run, load

__all__ = ["Run", "load", "train"]
