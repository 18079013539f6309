"""The embedded data set: pets drawn by code. It needs no network."""
