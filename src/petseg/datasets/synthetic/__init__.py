"""Pets drawn by code: the data set that needs no network."""
