"""Encode images as file contents."""

import io
from typing import Any

from PIL import Image


def encode_image(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """Encode an image in one of Pillow's formats; `options` go to Pillow's writer."""
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()
