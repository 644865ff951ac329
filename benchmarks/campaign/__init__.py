"""The GPU campaign: tests, throughput and a pretraining run in a few minutes on a GPU that is lent once."""
