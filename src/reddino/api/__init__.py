"""The functions that `reddino` exports: a file for each topic, with the same names as in `reddino.cli`."""
