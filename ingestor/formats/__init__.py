"""Lines become hits. Pure: no files, no clocks, no network."""
