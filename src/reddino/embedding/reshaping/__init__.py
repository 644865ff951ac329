"""Tables made of tables: merged, filtered, sampled, compacted; and what a table holds."""
