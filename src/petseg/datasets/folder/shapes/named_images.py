"""Match the images that annotation files name with the images of the folder."""

from dataclasses import replace

from petseg.datasets.folder.classes.labels import Annotation
from petseg.datasets.folder.found import FoundImage, found_image
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.lookup import Lookup
from petseg.datasets.folder.listing.names import Split


class NamedImages:
    """The images of a folder, as its annotation files name them."""

    def __init__(self, folder: Folder, kind: str) -> None:
        """Start without annotations. `kind` is what messages call the files: JSON or XML."""
        self._findings = folder.findings
        self._kind = kind
        self._images = folder.images()
        self._lookup = Lookup(self._images)
        self._found: dict[FoundFile, FoundImage] = {}
        self._missing: list[str] = []
        self._repeated: list[str] = []

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

    def finish(self) -> list[FoundImage]:
        """Report the names that don't fit. Return all images, those without annotation last."""
        what = f"Images in the {self._kind} that the folder lacks or has twice, left out"
        self._findings.note(what, self._missing)
        what = f"Images that are in the {self._kind} twice"
        self._findings.problem(what, self._repeated, "remove one of them")
        rest = [found_image(image, None) for image in self._images if image not in self._found]
        return [*self._found.values(), *rest]
