"""`petseg review`: rank the masks of the training and validation splits by how wrong they look."""
