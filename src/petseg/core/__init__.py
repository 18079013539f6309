"""What every stage uses: errors, files, locks, checksums, labels."""
