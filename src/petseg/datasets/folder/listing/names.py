"""What the names of folders and files say: images or masks, and which split."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Literal

Role = Literal["image", "mask"]
Split = Literal["train", "val", "test"]

_ROLES: dict[str, Role] = {
    **dict.fromkeys(
        (
            *("images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "leftimg"),
            *("inputs", "imagenes", "imagens", "immagini", "fotos", "bilder"),
        ),
        "image",
    ),
    **dict.fromkeys(
        (
            *("masks", "mask", "labels", "label", "annotations", "annotation", "annots", "annot"),
            *("segmentationclass", "segmentationclasspng", "segmentation", "segmentations", "seg"),
            *("segmented", "segmaps", "labelmaps", "lbl", "msk", "mattes"),
            *("masken", "mascaras", "masques", "maschere", "etiquetas"),
            *("trimaps", "targets", "gt", "gtfine", "groundtruth", "truth", "manual"),
        ),
        "mask",
    ),
}
SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "trainval"), "train"),
    **dict.fromkeys(("entrenamiento", "entrainement", "treino", "treinamento"), "train"),
    **dict.fromkeys(("addestramento", "trainingsdaten", "trainingsbilder"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "minival"), "val"),
    **dict.fromkeys(("eval", "validacion", "validacao", "validazione", "validierung"), "val"),
    **dict.fromkeys(("validierungsdaten", "validierungsbilder"), "val"),
    **dict.fromkeys(("test", "testing", "holdout"), "test"),
    **dict.fromkeys(("prueba", "pruebas", "teste", "testes", "prufung"), "test"),
    **dict.fromkeys(("testdaten", "testbilder"), "test"),
}
SHORT_SPLITS = {"tr", "trn", "te", "tst", "ts", "va", "vl"}
"""Words that may stand for a split, if nothing else is there."""

_FILLERS = {  # of "ground_truth", "leftImg8bit", "train set"
    *("ground", "bit", "st", "png", "semantic", "binary", "set", "data", "dataset", "files"),
    *("dir", "default"),  # img_dir, defaultannot
}
_MASKS = re.compile(r"ann_dir|masks?[_ -]?v\d+")  # mmsegmentation's, and masks_v2
_NNUNET = re.compile(r"(image|label)s(tr|val?|ts)")  # nnU-Net's imagesTr and labelsTs
_NNUNET_SPLITS: dict[str, Split] = {"tr": "train", "va": "val", "val": "val", "ts": "test"}
_OTHER_FILES = {
    *("depth", "depthmap", "depthmaps", "disparity", "disp", "normals", "confidence"),
    *("heatmap", "heatmaps", "superpixels", "pose", "poses", "flow"),
    *("edge", "edges", "boundary", "boundaries", "border", "borders", "contour", "contours"),
    *("keypoints", "boxes", "bbox", "bboxes", "fixations"),
    *("canny", "outline", "outlines", "sketch", "sketches", "scribbles", "drawings"),
    *("skeleton", "skeletons", "lineart", "binarized", "panoptic"),
    *("pred", "preds", "prediction", "predictions", "overlay", "overlays", "vis"),
    *("inst", "instance", "instances", "objects", "segmentationobject"),
    *("thumb", "thumbs", "thumbnails", "preview", "previews", "visualization"),
}
OTHER_TASKS = ("captions", "person_keypoints", "panoptic", "image_info")
"""What the names of COCO's files that don't segment objects begin with."""

_SPLIT_BEFORE_CAPITAL = re.compile(r"([Tt]rain|[Vv]al|[Tt]est)([A-Z]\w*)")  # trainA, TestImages
_GLUED = re.compile(
    r"(training|train|validation|valid|val|testing|test|default)"
    r"(?=annot|image|img|mask|label|set|data(?!en)|list|file|name)"
)  # CamVid's trainannot, CVAT's defaultannot


def simplify(name: str) -> str:
    """Return what two names have in common that people would call the same.

    Macs decompose letters with accents; Windows ignores case.
    """
    return unicodedata.normalize("NFC", name).casefold()


def split_in(name: str) -> Split | None:
    """Return the split that a word of a name stands for, as in instances_val2017.json."""
    return next((SPLIT_WORDS[word] for word in words_of(name) if word in SPLIT_WORDS), None)


def splits_in(name: str) -> set[Split]:
    """Return all splits that words of a name stand for."""
    return {SPLIT_WORDS[word] for word in words_of(name) if word in SPLIT_WORDS}


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case, without accents."""
    return [word for word in re.split(r"[^a-z]+", _plain(name)) if word]


def without_split(name: str) -> str:
    """Return a name without the words that stand for a split: "lab" for train_lab."""
    words = re.split(r"[\W_]+", _plain(name))
    return " ".join(word for word in words if word and word not in SPLIT_WORDS)


def _plain(name: str) -> str:
    """Return a name in lower case, without accents, and with spaces between glued words."""
    spaced = name
    match = _SPLIT_BEFORE_CAPITAL.fullmatch(name)
    if match and (len(match[2]) == 1 or match[2].lower() in _ROLES):  # not TestTube
        spaced = f"{match[1]} {match[2]}"
    plain = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFD", spaced.lower()))
    return _GLUED.sub(r"\1 ", plain)


def names_masks(names: Iterable[str]) -> bool:
    """Whether a word of names stands for masks."""
    return any(_ROLES.get(word) == "mask" for name in names for word in words_of(name))


def names_other_files(names: Iterable[str]) -> bool:
    """Whether a word of names stands for what is neither images nor masks: depth maps."""
    return any(word in _OTHER_FILES for name in names for word in words_of(name))


def names_images_or_masks(name: str) -> bool:
    """Whether a folder's name begins with a word for images and has one for masks: image_masks."""
    roles = [_ROLES[word] for word in words_of(name) if word in _ROLES]
    return meaning_of(name)[0] == "image" and "mask" in roles


def is_of_nnunet(folder: str) -> bool:
    """Whether a folder is one of nnU-Net's, such as imagesTr."""
    return _NNUNET.fullmatch(folder.lower()) is not None


@cache
def meaning_of(name: str) -> tuple[Role | None, Split | None]:
    """Return what a folder's name says; nothing if a word of it is unknown."""
    if _MASKS.fullmatch(name.lower()):
        return "mask", None
    if nnunet := _NNUNET.fullmatch(name.lower()):
        return _ROLES[nnunet[1]], _NNUNET_SPLITS[nnunet[2]]
    words = [word for word in words_of(name) if word not in _FILLERS]
    if not words or not all(word in _ROLES or word in SPLIT_WORDS for word in words):
        return None, None
    roles = [_ROLES[word] for word in words if word in _ROLES]
    role = roles[0] if roles else None
    return role, split_in(name)
