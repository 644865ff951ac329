"""The pass over images and the embedding table."""

from reddino.verbs import make_callable

make_callable(__name__)
