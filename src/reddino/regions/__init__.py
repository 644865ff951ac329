"""Regions of slides and fields: what they are worth, the monolayer, and the survey of their cells."""
