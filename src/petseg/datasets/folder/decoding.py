"""Decode every image and annotation of a folder."""

import os
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from petseg.core.errors import PetsegError
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.index import FolderIndex, FolderItem
from petseg.datasets.folder.scan import ItemScan
from petseg.images.reading import read_facts


def decode_items(index: FolderIndex) -> dict[str, ItemScan]:
    """Decode all images and annotations on all cores. Return what each contains, by name."""
    items = index.items
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = pool.map(lambda item: _scan_item(item, index), items)
        progress = tqdm(decoded, "read folder", len(items), unit="image", disable=None)
        return {item.name: scan for item, scan in zip(items, progress, strict=True)}


def _scan_item(item: FolderItem, index: FolderIndex) -> ItemScan:
    try:
        facts = read_facts(item.image)
    except PetsegError as error:
        text = as_example(error, index.root)
        return ItemScan(image_error=text, labels_error="the image can't be read")
    try:
        labels = item.annotation.read(facts.size)
    except PetsegError as error:
        text = as_example(error, index.root)
        return ItemScan(facts, labels_error=f"{item.name}: {text}" if index.in_one_file else text)
    pixels = labels.count()
    palette = dict(zip(labels.values, labels.colors, strict=True)) if labels.colors else {}
    colors = {label: palette[label] for label in pixels if label in palette}
    edges = [labels.indices[0], labels.indices[-1], labels.indices[:, 0], labels.indices[:, -1]]
    first = edges[0][0]
    edge = labels.values[first] if all((values == first).all() for values in edges) else None
    return ItemScan(
        facts,
        labels_size=labels.size,
        pixels=pixels,
        colors=colors,
        edge=edge,
        lossy=labels.lossy,
        only_boxes=labels.only_boxes,
        notes=labels.notes,
    )
