"""A model's predictions for a split of the shards, with test-time augmentation."""
