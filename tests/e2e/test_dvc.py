"""What DVC does with our dvc.yaml: caches, experiments, queues, remotes, locks. The stages are stubs."""

import hashlib
import json
import re
import shutil
import time

import pytest
import yaml

from petseg.config.params import load_params
from support.clones import Clone, copy_clone, hashes_of, outs_of, stages_of
from support.once import make_once
from support.project import ROOT
from support.s3_server import BUCKET, s3_server
from support.stubs import make_stub_clone

SECTION = "Archives and environment"
CASES = {
    "two dvc repro runs at once": 'DVC prints "... is busy, it is being blocked by: (PID ...)"; the first one continues.',
    "DVC's cache deleted": "What is missing is recreated, with the same bytes.",
    "DVC's cache corrupted": "DVC notices and runs the stage again; the checksums of shards and model catch what it misses.",
    "truncated dvc.lock": 'DVC names the file ("... is invalid" or "... validation failed"); git checkout dvc.lock, then dvc repro skips the training.',
}  # fmt: skip


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone in which `dvc repro` has run with stub stages, its results committed."""
    made = make_once(tmp_path_factory, "stubs", make_stub_clone)
    return copy_clone(Clone(made), tmp_path_factory.mktemp("stubs") / "petseg")


def lock_of(clone):
    return (clone.path / "dvc.lock").read_bytes()


def restore(clone):
    clone.run("git", "checkout", "--quiet", ".")
    clone.run("dvc", "checkout", "--quiet", "--force")


def changed_stages(clone):
    return set(json.loads(clone.run("dvc", "status", "--json")))


def test_git_is_clean_after_a_committed_run_and_a_second_run_does_nothing(clone):
    assert "Data and pipelines are up to date." in clone.run("dvc", "repro")
    assert clone.run("git", "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("files", "stages"),
    [
        (["pyproject.toml", "src/petseg/cli/predict.py", "src/petseg/photos/predictor.py", "src/petseg/sweeps/sweep.py"], set()),
        (["src/petseg/reporting/report.py"], {"report"}),
        (["src/petseg/training/augment.py"], {"train"}),
        (["src/petseg/preprocessing/transform.py"], {"preprocess"}),
        (["src/petseg/evaluation/bootstrap.py"], {"evaluate"}),
    ],
)  # fmt: skip
def test_a_code_change_affects_only_the_stages_that_use_it(clone, files, stages):
    for name in files:
        path = clone.path / name
        path.write_text(path.read_text() + "\n# changed\n")
    if "pyproject.toml" in files:
        text = (clone.path / "pyproject.toml").read_text()
        (clone.path / "pyproject.toml").write_text(text.replace('version = "', 'version = "9.'))
    try:
        assert changed_stages(clone) == stages
    finally:
        clone.run("git", "checkout", "--quiet", ".")


def test_a_colleague_gets_everything_from_a_bucket_and_runs_nothing(clone, tmp_path):
    with s3_server() as environment:
        clone.run("dvc", "remote", "add", "--default", "storage", f"s3://{BUCKET}/cache")
        clone.commit("remote")
        clone.run("dvc", "push", env=environment)
        clone.run("git", "clone", "--quiet", ".", str(tmp_path / "second"))
        second = Clone(tmp_path / "second")
        output = second.run("dvc", "repro", "--pull", env=environment)
        assert "Running stage" not in output
        assert second.run("git", "status", "--porcelain") == ""
        outs = [out for stage in stages_of(clone.path).values() for out in outs_of(stage)]
        assert hashes_of(second.path, outs) == hashes_of(clone.path, outs)

        clone.run("git", "tag", "--annotate", "exported@v1.0.0", "--message", "First")
        out = tmp_path / "exported"
        second.run("dvc", "artifacts", "get", str(clone.path), "exported", "--out", str(out))
        assert hashes_of(out, ["."]) == hashes_of(clone.path / "models" / "exported", ["."]) != {}

        wrong = {**environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        shutil.rmtree(second.path / ".dvc" / "cache")
        shutil.rmtree(second.path / "models")
        assert 'Could not connect to the endpoint URL: "http://127.0.0.1:9' in second.run(
            "dvc", "pull", "models/unet", ok=False, env=wrong
        )
        nobody = {
            key: "" if key.startswith("AWS_") and "KEY" in key else value
            for key, value in environment.items()
        }
        nobody |= {"AWS_EC2_METADATA_DISABLED": "true"}
        assert "Unable to locate credentials" in second.run(
            "dvc", "pull", "models/unet", ok=False, env=nobody
        )
        second.run("dvc", "pull", "models/unet", env=environment)


def test_going_back_to_old_parameters_runs_nothing(clone):
    lock = lock_of(clone)
    clone.set_params(train__learning_rate=0.001)
    assert "Running stage 'train'" in clone.run("dvc", "repro")
    clone.run("git", "checkout", "--quiet", "params.yaml")
    output = clone.run("dvc", "repro")
    assert "Stage 'train' is cached - skipping run" in output
    assert "stub train" not in output
    assert lock_of(clone) == lock
    assert clone.run("git", "status", "--porcelain") == ""


def test_a_pull_request_shows_the_metrics_and_images_that_change(clone):
    show = ("sh", str(ROOT / ".github" / "metrics.sh"), "HEAD", "https://example.com/blob/abc")
    assert clone.run(*show) == "### Metrics\n\nNo metric changed.\n"
    [metric] = json.loads((clone.path / "metrics" / "test.json").read_text()).items()
    (clone.path / "metrics" / "test.json").write_text(json.dumps({metric[0]: metric[1] + 1}))
    (clone.path / "docs" / "images" / "examples.png").write_bytes(b"new")
    output = clone.run(*show)
    clone.run("git", "checkout", "--quiet", ".")
    assert re.search(rf"\| metrics/test.json *\| {metric[0]} *\|.*\| 1(\.0)? *\|\n", output)
    assert "### docs/images/examples.png" in output
    assert "![](https://example.com/blob/abc/docs/images/examples.png?raw=true)" in output


def with_foreign_checksums(lock):
    """A dvc.lock as another kind of CPU would have written it: other bytes from training on."""
    stages = yaml.safe_load(lock)["stages"]
    outs = [
        out
        for name, stage in stages.items()
        if name not in ("download", "preprocess")
        for out in stage["outs"]
    ]
    for md5 in {out["md5"] for out in outs}:
        lock = lock.replace(md5, hashlib.md5(md5.encode()).hexdigest() + md5[32:])
    return lock


def command_to_go_back():
    """The command in the README's section "Go back"."""
    section = (ROOT / "README.md").read_text().split("\n## Go back\n")[1]
    return section.split("```")[1].strip()


@pytest.mark.parametrize("committed", ["on another kind of CPU", "here"])
def test_going_back_from_an_experiment_runs_nothing(clone, tmp_path, committed):
    second = copy_clone(clone, tmp_path / "second")
    if committed != "here":
        lock = second.path / "dvc.lock"
        lock.write_text(with_foreign_checksums(lock.read_text()))
        second.commit("results of another kind of CPU")
        assert "stub train" in second.run("dvc", "repro")  # as after cloning
        assert "dvc.lock" in second.run("git", "status", "--porcelain")
    outs = [out for stage in stages_of(second.path).values() for out in outs_of(stage)]
    before = hashes_of(second.path, outs)
    second.run("dvc", "exp", "run", "--set-param", "train.learning_rate=0.001")
    assert hashes_of(second.path, outs) != before
    if committed != "here":  # the usual way fails, and loses nothing that the next one needs
        second.run("git", "checkout", "--quiet", ".")
        assert "missing-files" in second.run("dvc", "checkout", ok=False)
        assert not (second.path / "models" / "unet").exists()
    output = second.run("bash", "-c", command_to_go_back())
    assert "stub" not in output
    assert "Stage 'train' is cached - skipping run" in output
    assert hashes_of(second.path, outs) == before
    if committed == "here":
        assert second.run("git", "status", "--porcelain") == ""


def test_an_experiment_can_change_parameters_and_be_compared(clone):
    clone.run("dvc", "exp", "run", "--name", "slow", "--set-param", "train.learning_rate=1e-05")
    params = clone.path / "params.yaml"
    assert yaml.safe_load(params.read_text())["train"]["learning_rate"] == "1e-05"  # as DVC wrote
    assert load_params(params).train.learning_rate == 1e-05
    assert "train_value" in clone.run("dvc", "metrics", "diff")
    assert "slow" in clone.run("dvc", "exp", "show", "--only-changed", "--csv")
    clone.run("dvc", "plots", "diff", "HEAD", "--out", "dvc_plots")
    assert (clone.path / "dvc_plots" / "index.html").is_file()
    restore(clone)


def test_temporary_and_queued_experiments_run_their_own_code(clone):
    stage = clone.path / "stages" / "render.py"
    original = stage.read_text()
    stage.write_text(original + '\nprint("THE CHANGED STAGE")\n')
    output = clone.run("dvc", "exp", "run", "--temp", "--name", "temporary")
    assert "THE CHANGED STAGE" in output
    assert "stub train" not in output
    clone.run("dvc", "exp", "run", "--queue", "--name", "queued", "-S", "render.examples=1")
    stage.write_text(original)
    clone.run("dvc", "exp", "run", "--run-all")
    assert "THE CHANGED STAGE" in clone.run("dvc", "queue", "logs", "queued")
    assert {"temporary", "queued"} <= set(clone.run("dvc", "exp", "list", "--name-only").split())


def test_a_changed_image_in_a_user_folder_is_detected(clone, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "1.png").write_text("one")
    clone.set_params(dataset__name="folder", dataset__folder__path=str(tmp_path / "mine"))
    clone.run("dvc", "repro", "download")
    assert "up to date" in clone.run("dvc", "repro", "download")
    (tmp_path / "mine" / "1.png").unlink()
    assert "Running stage 'download'" in clone.run("dvc", "repro", "download")
    restore(clone)


def test_a_path_with_any_characters_works_quoted_as_in_own_data(clone, tmp_path):
    page = (ROOT / "docs/own-data.md").read_text(encoding="utf-8")
    quoted = re.search(r'-S "dataset\.folder\.path=\'(.+?)\'"', page)
    assert quoted is not None
    folder = tmp_path / "Mis Imágenes (1) #2 & k=v, x[1] 50% @~$x; a: b*"
    folder.mkdir()
    (folder / "1.png").write_text("one")
    path, classes = f"dataset.folder.path='{folder}'", "dataset.folder.classes=[fondo,'ratón']"
    command = ["dvc", "exp", "run", "-S", "dataset.name=folder", "-S", path, "-S", classes]
    clone.run(*command, "download")
    params = load_params(clone.path / "params.yaml").dataset.folder
    assert params.path == str(folder)
    assert "up to date" in clone.run("dvc", "repro", "download")
    (folder / "1.png").write_text("another")
    assert "Running stage 'download'" in clone.run("dvc", "repro", "download")
    restore(clone)


def test_a_lost_cache_and_lost_outs_are_recreated(clone):
    before = lock_of(clone)
    shutil.rmtree(clone.path / ".dvc" / "cache")
    shutil.rmtree(clone.path / "data" / "tfrecords")
    clone.run("dvc", "repro", "preprocess")
    assert lock_of(clone) == before
    clone.run("dvc", "repro")
    assert lock_of(clone) == before
    assert clone.run("git", "status", "--porcelain") == ""


def test_a_corrupted_file_in_the_cache_is_detected_and_recreated(clone):
    before = lock_of(clone)
    outs = yaml.safe_load(before)["stages"]["evaluate"]["outs"]
    digest = next(out["md5"] for out in outs if out["path"] == "reports/per_image.csv")
    cached = clone.path / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    good = cached.read_bytes()
    cached.chmod(0o644)
    cached.write_bytes(good + b"broken")
    (clone.path / "reports" / "per_image.csv").unlink()
    clone.run("dvc", "repro")
    assert (clone.path / "reports" / "per_image.csv").read_bytes() == good
    assert lock_of(clone) == before


def test_a_truncated_dvc_lock_is_reported_and_git_restores_it(clone):
    before = lock_of(clone)
    (clone.path / "dvc.lock").write_bytes(before[:300] + b"\n  - : [")
    output = clone.run("dvc", "repro", ok=False)
    assert "dvc.lock' is invalid" in output
    assert "Running stage" not in output
    clone.run("git", "checkout", "--quiet", "dvc.lock")
    assert "Data and pipelines are up to date." in clone.run("dvc", "repro")


def test_the_second_of_two_runs_is_refused_and_the_first_one_finishes(clone):
    (clone.path / "hold").touch()
    first = clone.start("dvc", "repro", "--force", "--single-item", "render")
    rwlock = clone.path / ".dvc" / "tmp" / "rwlock"
    while first.poll() is None and not (rwlock.is_file() and "plots" in rwlock.read_text()):
        time.sleep(0.05)
    output = clone.run("dvc", "repro", "--force", "--single-item", "render", ok=False)
    assert "is busy, it is being blocked by" in output
    (clone.path / "hold").unlink()
    first.communicate()
    assert first.returncode == 0
    assert clone.run("git", "status", "--porcelain") == ""
