"""RedDino pretraining: DINOv2 self-distillation tuned to red blood cells."""

from reddino.verbs import make_callable

make_callable(__name__)
