"""A world in one process: the real flows between a simulated OA, a simulated finance and a hub in memory, by a seed."""
