"""What several tests share: clones, a browser, an S3 server, the documented errors."""
