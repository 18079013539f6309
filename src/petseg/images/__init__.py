"""Image files from elsewhere: which files are images, and how to read them safely."""
