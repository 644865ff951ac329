"""RedDino: self-supervised foundation models for red blood cell images."""

__version__ = "0.1.0"
