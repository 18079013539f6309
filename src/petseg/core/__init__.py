"""What every stage builds on: errors, files, locks, checksums, labels."""
