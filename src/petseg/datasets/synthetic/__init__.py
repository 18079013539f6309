"""The built-in data set: pets drawn by code. It needs no network."""
