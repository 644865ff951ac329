"""The version of RedDino, which the wheel, result files and model folders carry."""

__version__ = "0.2.0"
