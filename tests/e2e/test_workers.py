"""Several processes train together over loopback, and do what one alone would."""

import json
import subprocess
import sys
import time

import pytest
import yaml

from petseg.core.errors import PetsegError
from petseg.training.cluster import SINGLE_WORKER, Worker, read_worker
from petseg.training.train import train
from support.project import ROOT
from support.workers import losses_of, make_records, start_workers

TWO = ["host0:1234", "host1:1234"]


def config(index, *, kind="worker", **jobs):
    return json.dumps({"cluster": jobs or {"worker": TWO}, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "worker"),
    [
        ("", SINGLE_WORKER),
        ("{}", SINGLE_WORKER),
        (config(0, worker=TWO[:1]), SINGLE_WORKER),
        (config(1), Worker(1, 2)),
        (config(0, kind="chief", chief=["a:1"], worker=TWO), Worker(0, 3)),
        (config(1, chief=["a:1"], worker=TWO), Worker(2, 3)),
        (
            json.dumps({**json.loads(config(0)), "environment": "cloud", "rpc_layer": "grpc"}),
            Worker(0, 2),
        ),
    ],
)
def test_a_worker_finds_its_number_where_tensorflow_does(monkeypatch, text, worker):
    monkeypatch.setenv("TF_CONFIG", text)
    assert read_worker() == worker
    monkeypatch.delenv("TF_CONFIG")
    assert read_worker() == SINGLE_WORKER


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (config(2), "TF_CONFIG: the task is worker 2, but the cluster has no such address."),
        (config(0, kind="ps"), "TF_CONFIG: task.type is 'ps', but must be chief or worker"),
        (config(0, worker=["host0"]), "TF_CONFIG: cluster.worker.0 is 'host0', but must be"),
        (
            config(0, wroker=TWO),
            "TF_CONFIG: cluster.wroker is not a parameter; did you mean 'worker'?",
        ),
        ("[", "TF_CONFIG is not valid JSON"),
        ("[1]", "TF_CONFIG must have sections such as cluster, task."),
    ],
)
def test_a_wrong_tf_config_is_told_in_a_sentence(monkeypatch, text, told):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(PetsegError) as raised:
        read_worker()
    assert str(raised.value).startswith(told)


EPOCHS = {  # of three steps
    "train__epochs": 3,
    "train__warmup_epochs": 1,
    "train__checkpoint_steps": 2,
    "train__preview_pictures": 2,
}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("cluster"), shards=2)


@pytest.fixture(scope="module")
def together(records, tmp_path_factory):
    """The folder of two workers' training, and the losses that each saw."""
    folder = tmp_path_factory.mktemp("together")
    return folder, losses_of(start_workers(folder, records, 2, **EPOCHS))


def made_by(worker):
    return sorted(item.name for item in worker.iterdir() if item.name != "params.yaml")


def test_two_workers_do_what_one_does(tmp_path, records, together):
    """For a few steps; tests/soak/workers.py goes on for fifty, with four."""
    folder, (first, second) = together
    [alone] = losses_of(start_workers(tmp_path, records, 1, **EPOCHS))
    assert len(alone) == 3 * (3 + 1 + 1)  # steps and batches of validation
    assert first == second
    assert first == pytest.approx(alone, abs=1e-7)
    ours, theirs = (
        json.loads((home / "worker0" / "metrics.json").read_text()) for home in (tmp_path, folder)
    )
    assert {**theirs, "environment": ""} == {**ours, "environment": ""}
    assert theirs["environment"].startswith("2 workers, ")


def test_only_the_chief_writes(together):
    folder, _ = together
    assert made_by(folder / "worker0") == [
        ".backup",
        "history.csv",
        "metrics.json",
        "previews",
        "unet",
    ]
    assert made_by(folder / "worker1") == []


def lose(lost, folder, records):
    """Start two workers, kill one after the chief's next checkpoint, and see the other end by itself."""
    backup = folder / "worker0" / ".backup"
    before = set(backup.glob("*/*.checkpoint"))
    processes = start_workers(folder, records, 2, **EPOCHS)
    left = processes[1 - lost]
    deadline = time.monotonic() + 120
    while not set(backup.glob("*/*.checkpoint")) - before:
        assert time.monotonic() < deadline
        assert left.poll() is None, left.communicate()
        time.sleep(0.02)
    processes[lost].kill()
    processes[lost].communicate()
    _, told = left.communicate(timeout=120)
    assert left.returncode == 1
    assert "Another of the 2 workers doesn't answer any more" in told
    assert "start all of them again" in told


def test_a_lost_worker_ends_all_and_all_started_again_go_on(tmp_path, records, together):
    folder, (whole, _) = together
    lose(1, tmp_path, records)
    lose(0, tmp_path, records)  # the chief
    resumed, _ = losses_of(start_workers(tmp_path, records, 2, **EPOCHS))
    assert 0 < len(resumed) < len(whole)
    assert resumed == whole[-len(resumed) :]
    weights = [
        (home / "worker0" / "unet" / "model.weights.h5").read_bytes() for home in (folder, tmp_path)
    ]
    assert weights[0] == weights[1]


def test_workers_with_other_parameters_don_t_train_together(tmp_path, records):
    processes = start_workers(tmp_path, records, 2, **EPOCHS, train__learning_rate=[0.001, 0.002])
    told = [process.communicate(timeout=120)[1] for process in processes]
    assert (
        "Worker 2 of 2 has other parameters, data, code or another environment than the first one"
        in told[1]
    )
    assert [process.returncode for process in processes] == [1, 1]


def test_dvc_is_told_not_to_run_a_worker_that_writes_nothing(
    monkeypatch, tmp_path, records, tiny_params
):
    monkeypatch.setenv("TF_CONFIG", config(1))
    monkeypatch.setenv("DVC_STAGE", "train")
    with pytest.raises(
        PetsegError, match=r"Worker 2 of 2 writes nothing.*run python stages/train\.py on it"
    ):
        train(
            tiny_params,
            records,
            *(tmp_path / name for name in ("unet", "metrics", "history", "previews")),
        )
    assert list(tmp_path.iterdir()) == []


def block_of(title, language):
    """The first block of code of that language under a title of docs/scaling.md."""
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8").split(f"### {title}\n")[1]
    return text.split(f"```{language}\n")[1].split("```")[0]


def test_slurm_s_example_starts_dvc_on_the_first_node_and_the_script_on_the_others(tmp_path):
    commands = {
        "scontrol": 'test "$1 $2 $3" = "show hostnames node[0-2]" && printf "node0\\nnode1\\nnode2\\n"',
        "srun": 'for number in 0 1 2; do SLURM_PROCID=$number "$@"; done',
        "dvc": 'echo "dvc $* $TF_CONFIG"',
        "python": f'test "$1" = -c && exec {sys.executable} "$@"; echo "python $* $TF_CONFIG"',
    }
    for name, script in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_NODELIST": "node[0-2]"}
    done = subprocess.run(
        ["bash", "-c", block_of("SLURM", "bash")], env=environment, capture_output=True, text=True
    )
    assert done.stderr == ""
    told = [line.partition(" {") for line in done.stdout.splitlines()]
    assert [command for command, _, _ in told] == ["dvc repro train"] + 2 * [
        "python stages/train.py"
    ]
    for number, (_, _, rest) in enumerate(told):
        assert json.loads("{" + rest) == json.loads(
            config(number, worker=[f"node{k}:12345" for k in range(3)])
        )


def test_kubernetes_s_example_is_a_job_whose_chief_runs_dvc():
    job = yaml.safe_load(block_of("Kubernetes", "yaml"))
    assert job["kind"] == "TFJob"
    replicas = job["spec"]["tfReplicaSpecs"]
    assert list(replicas) == ["Chief", "Worker"]
    for name, command in (("Chief", "dvc repro train"), ("Worker", "python stages/train.py")):
        [container] = replicas[name]["template"]["spec"]["containers"]
        assert container["name"] == "tensorflow"  # where TFJob puts TF_CONFIG
        stub = 'dvc() { echo "dvc $*"; }; python() { echo "python $*"; }; '
        environment = {one["name"]: one["value"] for one in container["env"]}
        shell, option, script = container["command"]
        done = subprocess.run(
            [shell, option, stub + script], env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == command
