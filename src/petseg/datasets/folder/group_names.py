"""Names of several images: of their folder, or of what their names begin with.

p01 is the name of p01/1.png and p01/2.png, and of p01_1.png and p01_2.png
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from petseg.datasets.folder.listing.files import FoundFile

_SEPARATOR = re.compile(r"[\W_]+")


def group_names(images: Iterable[FoundFile]) -> dict[str, set[FoundFile]]:
    """Return the images of each such name, except of those that all images share.

    Beginnings of names count only with a digit in them: "cat" may be a class.
    """
    images = list(images)
    groups: dict[str, set[FoundFile]] = defaultdict(set)
    for image in images:
        stem = image.path.stem
        beginnings = [stem[: match.start()] for match in _SEPARATOR.finditer(stem)]
        for name in (*image.folders, *(name for name in beginnings if has_digit(name))):
            groups[name].add(image)
    return {name: named for name, named in groups.items() if len(named) < len(images)}


def has_digit(name: str) -> bool:
    return any(map(str.isdigit, name))
