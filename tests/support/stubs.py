"""A clone of the project whose stages are stubs: DVC's behavior with our dvc.yaml, in seconds.

A stub writes each out of its stage as a hash of the stage's dependencies and parameters.
"""

from pathlib import Path

from support.clones import Clone, make_clone, stages_of

_STUB = '''"""Writes each out as a hash of dependencies and parameters."""

import hashlib
import time
from pathlib import Path

import yaml

COLUMNS = ("epoch", "loss", "val_loss", "mean_iou", "val_mean_iou", "share", "pair")

name = Path(__file__).stem
print("stub", name)
while Path("hold").exists():  # a test waits
    time.sleep(0.02)
params = yaml.safe_load(Path("params.yaml").read_text())
stage = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][name]
digest = hashlib.sha256()
for key in stage["params"]:
    value = params
    for part in key.split("."):
        value = value[part]
    digest.update(repr((key, value)).encode())
for dep in stage["deps"]:
    path = Path(dep.replace("${dataset.folder.path}", params["dataset"]["folder"]["path"]))
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(file.read_bytes())
text, number = digest.hexdigest(), int(digest.hexdigest()[:6], 16)
for kind in ("outs", "metrics", "plots"):
    for entry in stage.get(kind, []):
        out = Path(entry if isinstance(entry, str) else next(iter(entry)))
        (out.parent if out.suffix else out).mkdir(parents=True, exist_ok=True)
        if out.suffix == ".json":
            out.write_text(f'{{"{out.stem}_value": {number}}}')
        elif out.suffix == ".csv":
            out.write_text(f"{','.join(COLUMNS)}\\n1{f',{number}' * (len(COLUMNS) - 1)}\\n")
        elif out.suffix:
            out.write_text(f"{out} {text}")
        else:
            (out / "content").write_text(f"{out} {text}")
'''


def make_stub_clone(path: Path) -> Clone:
    """Clone the project, put stubs in the place of the stages, run and commit them."""
    clone = make_clone(path)
    for stage in stages_of(path):
        (path / "stages" / f"{stage}.py").write_text(_STUB, encoding="utf-8")
    clone.run("dvc", "repro")
    clone.commit("stubs")
    return clone
