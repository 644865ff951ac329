"""RedDino pretraining: DINOv2 self-distillation tuned to red blood cells."""
