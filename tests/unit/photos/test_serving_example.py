"""The FastAPI example of docs/serving.md, as it stands there."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from support.predictors import brightness_predictor
from support.project import ROOT

testclient = pytest.importorskip("fastapi.testclient")  # Gradio installs FastAPI


def test_the_example_answers_with_a_mask_or_an_error(monkeypatch):
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(import io.*?)```", page, re.DOTALL)
    monkeypatch.setattr("petseg.photos.predictor.load", lambda path: brightness_predictor())
    names = {}
    exec(example, names)
    client = testclient.TestClient(names["app"])
    file = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 255, np.uint8)).save(file, "PNG")
    answer = client.post("/mask", files={"photo": ("cat.png", file.getvalue())})
    mask = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert (answer.status_code, mask.shape, mask.min(), mask.max()) == (200, (40, 60), 1, 1)
    answer = client.post("/mask", files={"photo": ("notes.txt", b"no image")})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("photo can't be read as an image")
