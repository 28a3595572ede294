"""Tables of runs, statistics of samplers, diversity of negatives, and theory of the losses."""
