"""An S3 server on this machine, for tests that need a bucket."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import fsspec
from moto.server import ThreadedMotoServer

BUCKET = "pets"


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Run a server with one bucket; yields the environment variables that its clients need."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_MAX_ATTEMPTS": "1",
    }
    try:
        client = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        client.create_bucket(Bucket=BUCKET)
        yield {**os.environ, **environment}
    finally:
        server.stop()
        fsspec.get_filesystem_class("s3").clear_instance_cache()  # it has this server's address
