"""The files of a folder, what their names mean, and finding one by its name."""
