"""Match the images that annotation files name with the images of the folder."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from petseg.core.errors import PetsegError
from petseg.datasets.folder.classes.labels import Annotation
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import ExportedClasses, Found, FoundImage, found_image
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.lookup import Lookup
from petseg.datasets.folder.listing.names import Split

_Document = TypeVar("_Document")


class NamedImages:
    """The images of a folder, as its annotation files name them."""

    def __init__(self, folder: Folder, kind: str) -> None:
        """Start without annotations. `kind` is what messages call the files: JSON or XML."""
        self._folder = folder
        self._kind = kind
        self._images = folder.images()
        self._lookup = Lookup(self._images)
        self._found: dict[FoundFile, FoundImage] = {}
        self._unreadable: list[str] = []
        self._missing: list[str] = []
        self._repeated: list[str] = []

    def read(
        self, files: Sequence[FoundFile], parse: Callable[[Path], _Document]
    ) -> Iterator[tuple[FoundFile, _Document]]:
        """Yield the content of the annotation files, except of those that raise PetsegError."""
        self._folder.read.update(file.path for file in files)
        for file in files:
            try:
                document = parse(file.path)
            except PetsegError as error:
                self._unreadable.append(as_example(error, self._folder.root))
            else:
                yield file, document

    def add(
        self, name: str, source: FoundFile, annotation: Annotation, split: Split | None
    ) -> FoundFile | None:
        """Give the named image its annotation and, unless it is None, a split.

        Return its file, or None if the folder lacks the image or it has an annotation already.
        """
        image = self._lookup.find_near(source, name, split)
        if image is None:
            self._missing.append(f"{name!r} ({source.relative})")
        elif image in self._found:
            self._repeated.append(f"{name!r} ({source.relative})")
        else:
            found = found_image(image, annotation)
            self._found[image] = replace(found, split=split or found.split)
            return image
        return None

    def finish(
        self, rule: str, classes: ExportedClasses | None = None, classes_from: str = ""
    ) -> Found:
        """Report files and names that don't fit. Images without annotation are the last."""
        findings = self._folder.findings
        what = f"{self._kind} files that can't be read"
        findings.problem(what, self._unreadable, "export them again")
        what = f"Images in the {self._kind} that the folder lacks or has twice, left out"
        findings.note(what, self._missing)
        what = f"Images that are in the {self._kind} twice"
        findings.problem(what, self._repeated, "remove one of them")
        rest = [found_image(image, None) for image in self._images if image not in self._found]
        images = [*self._found.values(), *rest]
        return Found(images, classes, classes_from, rule, incomplete=bool(self._unreadable))
