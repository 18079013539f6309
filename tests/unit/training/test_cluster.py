"""TF_CONFIG, and the examples in docs/scaling.md that set it."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.preprocessing.writer import auto_num_shards
from petseg.training.cluster import SINGLE_WORKER, Worker, read_worker
from support.project import ROOT

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
            json.dumps({**json.loads(config(0)), "environment": "cloud", "rpc": "grpc"}),
            Worker(0, 2),
        ),
    ],
)
def test_a_worker_has_the_rank_that_tensorflow_gives_it(monkeypatch, text, worker):
    monkeypatch.setenv("TF_CONFIG", text)
    assert read_worker() == worker


def test_without_tf_config_there_is_a_single_worker(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert read_worker() == SINGLE_WORKER


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (config(2), "TF_CONFIG: the task is worker 2, but the cluster has no such address."),
        (config(0, kind="ps"), "TF_CONFIG: task.type is 'ps', but must be chief or worker"),
        (config(0, worker=["host0"]), "TF_CONFIG: cluster.worker.0 is 'host0', but must be"),
        (config(0, wroker=TWO), "TF_CONFIG: cluster.wroker is not a parameter; did you mean 'worker'?"),
        ("[", "TF_CONFIG is not valid JSON"),
        ("[1]", "TF_CONFIG must"),
    ],
)  # fmt: skip
def test_an_invalid_tf_config_is_an_error(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(PetsegError) as caught:
        read_worker()
    assert str(caught.value).startswith(message)


def example(title, language):
    """Return the first code block in this language under a title of docs/scaling.md."""
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8").split(f"### {title}\n")[1]
    return text.split(f"```{language}\n")[1].split("```")[0]


def test_the_default_batch_and_shards_divide_among_the_gpus_of_both_examples(default_params):
    def assert_divisible(num_nodes, num_gpus):
        assert default_params["train"]["batch_size"] % (num_nodes * num_gpus) == 0
        assert auto_num_shards(1, ImageSize(96, 96)) % num_nodes == 0

    sbatch = dict(re.findall(r"--([\w-]+)=(\d+)", example("SLURM", "bash")))
    assert_divisible(int(sbatch["nodes"]), int(sbatch["gpus-per-node"]))
    replicas = yaml.safe_load(example("Kubernetes", "yaml"))["spec"]["tfReplicaSpecs"].values()
    [gpus] = {
        replica["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
        for replica in replicas
    }
    assert_divisible(sum(replica["replicas"] for replica in replicas), gpus)


def test_the_slurm_example_runs_dvc_on_the_first_node_and_the_script_on_the_others(tmp_path):
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
        ["bash", "-c", example("SLURM", "bash")], env=environment, capture_output=True, text=True
    )
    assert done.stderr == ""
    lines = [line.partition(" {") for line in done.stdout.splitlines()]
    script = "python stages/train.py"
    assert [command for command, _, _ in lines] == ["dvc repro train", script, script]
    nodes = [f"node{k}:12345" for k in range(3)]
    for rank, (_, _, rest) in enumerate(lines):
        assert json.loads("{" + rest) == json.loads(config(rank, worker=nodes))


def test_the_kubernetes_example_is_a_job_whose_chief_runs_dvc():
    job = yaml.safe_load(example("Kubernetes", "yaml"))
    assert job["kind"] == "TFJob"
    replicas = job["spec"]["tfReplicaSpecs"]
    assert list(replicas) == ["Chief", "Worker"]
    for name, command in (("Chief", "dvc repro train"), ("Worker", "python stages/train.py")):
        [container] = replicas[name]["template"]["spec"]["containers"]
        assert container["name"] == "tensorflow"  # where TFJob puts TF_CONFIG
        volumes = {
            volume["name"]: volume for volume in replicas[name]["template"]["spec"]["volumes"]
        }
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert mounts["/dev/shm"]["emptyDir"] == {"medium": "Memory"}  # NCCL needs more than 64 MB
        stubs = 'dvc() { echo "dvc $*"; }; python() { echo "python $*"; }; '
        environment = {variable["name"]: variable["value"] for variable in container["env"]}
        shell, option, script = container["command"]
        done = subprocess.run(
            [shell, option, stubs + script], env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == command
