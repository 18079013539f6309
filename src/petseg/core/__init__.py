"""The basics of every stage: errors, files, locks, checksums, labels."""
