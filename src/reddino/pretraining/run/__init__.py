"""The run folder: recipe, plan, checkpoints, diagnostics, reports."""
