"""A run in one process or in many: sums, agreement, wrapped and sharded networks."""
