"""Looking at embeddings: maps, sheets, patch pictures and reports."""

from reddino.verbs import make_callable

make_callable(__name__)
