"""Distillation: a frozen teacher, its features, computed once or step by step, and the losses."""
