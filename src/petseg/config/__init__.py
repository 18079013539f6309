"""The typed view of params.yaml, and the paths of the pipeline's files."""
