"""Classes: the lists that name them, the labels that occur, and the table that follows."""
