"""Make the models that come with petseg."""
