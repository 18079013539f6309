"""Recognize annotations that petseg doesn't read, to say whose they are."""

from collections import defaultdict

from petseg.datasets.folder.files import Folder

_MARKS = {
    b'"classTitle"': "Supervisely's JSON",
    b'"dm_format_version"': "Datumaro's JSON",
    b'"from_name"': "Label Studio's JSON",
    b'"data_row"': "Labelbox's JSON",
    b'"vid_list"': "VIA 3's JSON",
    b"<bndbox>": "Pascal VOC's boxes",
}
_HEAD_BYTES = 2**16


def report_other_tools(folder: Folder) -> bool:
    """Report the files of each tool, as a problem. Return whether there are any."""
    found = defaultdict[str, list[str]](list)
    for file in folder.with_suffix(".json", ".ndjson", ".xml"):
        try:
            with file.path.open("rb") as opened:
                head = opened.read(_HEAD_BYTES)
        except OSError:
            continue
        for mark, what in _MARKS.items():
            if mark in head:
                found[what].append(str(file.relative))
                folder.read.add(file.path)
                break
    for what, files in found.items():
        remedy = "export masks or COCO's polygons"
        folder.findings.problem(f"petseg doesn't read {what}", files, remedy)
    return bool(found)
