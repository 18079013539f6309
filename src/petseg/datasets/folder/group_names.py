"""Names of several images: of their folder, or of what their names begin with.

p01 is the name of p01/1.png and p01/2.png, and of p01_1.png and p01_2.png
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from petseg.datasets.folder.listing.files import FoundFile
from petseg.datasets.folder.listing.names import simplify

_SEPARATOR = re.compile(r"[\W_]+")


def group_names(images: Iterable[FoundFile]) -> dict[str, set[FoundFile]]:
    """Return the images of each such name, simplified, except of those that all images share.

    Beginnings of names count only with a digit in them: "cat" may be a class.
    """
    images = list(images)
    groups: dict[str, set[FoundFile]] = defaultdict(set)
    for image in images:
        stem = simplify(image.path.stem)
        beginnings = [stem[: match.start()] for match in _SEPARATOR.finditer(stem)]
        folders = map(simplify, image.folders)
        for name in (*folders, *(name for name in beginnings if any(map(str.isdigit, name)))):
            groups[name].add(image)
    return {name: named for name, named in groups.items() if len(named) < len(images)}


def is_numbered(name: str) -> bool:
    """Whether a name has a letter and a digit: it is neither a class's nor any number."""
    return any(map(str.isdigit, name)) and any(map(str.isalpha, name))
