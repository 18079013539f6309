"""Preprocessing on Apache Beam: any number of workers writes the same bytes."""
