"""The stage evaluate: from the test shards and a model to metrics/test.json and the tables."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from petseg.backups import discard_finished
from petseg.confusion import Matrix
from petseg.evaluation.predict import predict_split
from petseg.evaluation.tables import confusion_table, headline, per_breed_table, per_image_table
from petseg.files import write_whole
from petseg.model.saved import load_model
from petseg.params import EvaluateParams
from petseg.records.manifest import read_manifest


@dataclass(frozen=True)
class EvaluateOuts:
    """Where the stage's outs go."""

    metrics: Path
    per_image: Path
    per_breed: Path
    confusion: Path


def evaluate(params: EvaluateParams, records_dir: Path, model_dir: Path, outs: EvaluateOuts) -> None:
    """Score the whole test split and write everything. Raises PetsegError.

    That this stage runs shows that DVC has the trained model in its cache: its training's backup may go.
    """
    pictures, matrices, class_names = score_split(records_dir, model_dir, "test", params.batch_size)
    write_whole(outs.metrics, json.dumps(headline(matrices, class_names), indent=2) + "\n")
    for table, path in (
        (per_image_table(pictures, matrices, class_names), outs.per_image),
        (per_breed_table(pictures, matrices, class_names), outs.per_breed),
        (confusion_table(matrices.sum(axis=0), class_names), outs.confusion),
    ):
        write_whole(path, table.to_csv(index=False, lineterminator="\n"))
    discard_finished(model_dir)


def score_split(
    records_dir: Path, model_dir: Path, split: str, batch_size: int
) -> tuple[pd.DataFrame, Matrix, tuple[str, ...]]:
    """file_name, breed and species of a split's pictures, their confusion matrices (P, N, N), and the classes' names.

    Every pixel is in one count or labelled "ignore"; a label out of range is an error (see `parse_pixels`).
    """
    manifest = read_manifest(records_dir)
    rows, matrices = [], []
    for prediction in predict_split(load_model(model_dir), records_dir, manifest, split, batch_size):
        rows.append({key: getattr(prediction, key) for key in ("file_name", "breed", "species")})
        matrices.append(prediction.confusion)
    return pd.DataFrame(rows), np.stack(matrices), manifest.class_names
