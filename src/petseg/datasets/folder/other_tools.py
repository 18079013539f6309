"""Recognize annotations that petseg doesn't read, to say whose they are."""

from collections import defaultdict

from petseg.datasets.folder.listing.files import Folder, FoundFile

_MARKS = {
    b'"classTitle"': "Supervisely's JSON",
    b'"dm_format_version"': "Datumaro's JSON",
    b'"label": {"labels"': "Datumaro's JSON",
    b'"segments_info"': "COCO's panoptic JSON",
    b'"from_name"': "Label Studio's JSON",
    b'"data_row"': "Labelbox's JSON",
    b'"vid_list"': "VIA 3's JSON",
    b"region_shape_attributes": "VIA's CSV",
    b"<bndbox>": "Pascal VOC's boxes",
}
_WEAK_MARKS = {  # also of files that lie next to masks
    b'"image": {"image_id"': "Segment Anything's JSON",
    b"darwin_json": "V7's JSON",
    b'"label_classes"': "Hasty's JSON",
    b'"description": "ISAT"': "ISAT's JSON",
    b'"FeatureCollection"': "GeoJSON",
    b"<pt>": "the XML of LabelMe's website",
    b"EncodedPixels": "run-length CSV",
}
_HEAD_BYTES = 2**16


def files_of_other_tools(folder: Folder, *, weak: bool = False) -> dict[str, list[FoundFile]]:
    """Return the files whose form petseg knows, but doesn't read, by its name.

    With `weak`, also those that may lie next to masks.
    """
    marks = {**_MARKS, **(_WEAK_MARKS if weak else {})}
    found = defaultdict[str, list[FoundFile]](list)
    for file in folder.with_suffix(".json", ".geojson", ".ndjson", ".xml", ".csv"):
        try:
            with file.path.open("rb") as opened:
                head = opened.read(_HEAD_BYTES)
        except OSError:
            continue
        if form := next((form for mark, form in marks.items() if mark in head), None):
            found[form].append(file)
    return found


def report_other_tools(folder: Folder) -> None:
    """Report the files of each form as a problem."""
    for form, files in files_of_other_tools(folder, weak=True).items():
        folder.read.update(file.path for file in files)
        folder.findings.problem(
            f"petseg doesn't read {form}",
            [str(file.relative) for file in files],
            "export masks, in a folder named masks, or COCO's polygons",
        )
