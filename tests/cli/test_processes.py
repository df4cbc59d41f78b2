"""Several processes of torchrun train as one process does, in double precision; a killed one ends the job."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import environment, in_double, run, start, train_here
from in_double import double_precision
from paths import ROOT
from tiny_runs import NETS, TINY, assert_same_training, assert_same_weights, losses


def run_in_double(*arguments, processes=1):
    """Run an entry point in double precision, with one thread per process; one training in this process."""
    if processes == 1 and arguments[0] == "train.py":
        with double_precision():
            train_here(*arguments[1:])
    else:
        run(*in_double(*arguments, processes=processes), env=environment(OMP_NUM_THREADS="1"))


@pytest.fixture(scope="module", params=list(NETS))
def supernets(request, tmp_path_factory):
    """A folder with 20 steps of stage 1 by one process, and by two with half the batch each."""
    at = tmp_path_factory.mktemp(request.param)
    for name, processes in (("one", 1), ("two", 2)):
        run_in_double("train.py", "--model", "ugc_supernet", "--name", name, "--checkpoints_dir", at,
                      "--label_ratio", "0.5", "--search_split", "0", *TINY, *NETS[request.param],
                      "--batch_size", 4 // processes,
                      "--n_epochs", 10, processes=processes)
    return at


def test_two_processes_train_the_supernet_that_one_trains(supernets):
    assert len(losses(supernets / "one")) == 20
    assert_same_training(supernets / "one", supernets / "two")


def search_results(folder):
    """Return the JSON documents of a search by name, without the Pareto front and the state."""
    documents = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")
                 if path.stem != "state"}
    for document in documents.values():
        document.pop("front", None)
    return documents


@pytest.mark.parametrize("supernets", ["resnet"], indirect=True)
def test_two_processes_search_and_distill_as_one_does(supernets):
    results = {}
    for name, processes in (("one", 1), ("two", 2)):
        (supernets / name).joinpath("search").mkdir(exist_ok=True)
        run_in_double("search.py", "--name", "one", "--checkpoints_dir", supernets, "--population", "4",
                      "--generations", "2", "--search_images", "4", "--calibration_images", "4",
                      processes=processes)
        results[name] = search_results(supernets / "one" / "search")
        run_in_double("train.py", "--model", "ugc_distill", "--name", f"student_{name}", "--supernet", "one",
                      "--checkpoints_dir", supernets, "--batch_size", 4 // processes, "--n_epochs", 10,
                      "--n_epochs_decay", 0, "--print_freq", 4, "--no_html", "--num_threads", 0,
                      processes=processes)
    assert results["one"] == results["two"]
    assert_same_training(supernets / "student_one", supernets / "student_two")


@pytest.fixture
def two_hosts():
    """Two linked network namespaces, 10.77.0.1 and 10.77.0.2: the prefixes that run a command in each."""
    names = [f"ugc{os.getpid()}{end}" for end in "ab"]
    setup = [f"ip netns add {names[0]}", f"ip netns add {names[1]}",
             f"ip link add {names[0]} netns {names[0]} type veth peer name {names[1]} netns {names[1]}"]
    for i, name in enumerate(names, 1):
        setup += [f"ip -n {name} addr add 10.77.0.{i}/24 dev {name}", f"ip -n {name} link set lo up",
                  f"ip -n {name} link set {name} up"]
    try:
        for line in setup:
            done = subprocess.run(line.split(), capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"two hosts need root and network namespaces: {line}: {done.stderr.strip()}")
        yield [["ip", "netns", "exec", name, "env", f"GLOO_SOCKET_IFNAME={name}"] for name in names]
    except FileNotFoundError:
        pytest.skip("two hosts need the program ip (iproute2)")
    finally:
        for name in names if shutil.which("ip") else ():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def test_two_machines_train_as_one_process_does(two_hosts, tmp_path):
    common = ["--model", "ugc_supernet", "--checkpoints_dir", tmp_path, "--label_ratio", "0.5",
              "--search_split", "0", *TINY, *NETS["resnet"], "--n_epochs", 2]
    run_in_double("train.py", "--name", "one", *common, "--batch_size", 4)
    jobs = []
    for rank, prefix in enumerate(two_hosts):
        command = [*prefix, sys.executable, "-m", "torch.distributed.run", "--nnodes", "2",
                   "--nproc_per_node", "1", "--node_rank", str(rank), "--master_addr", "10.77.0.1",
                   "--master_port", "29400",
                   *in_double("train.py", "--name", "two", *map(str, common), "--batch_size", "2")]
        jobs.append(subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, env=environment(OMP_NUM_THREADS="1")))
    try:
        outputs = [job.communicate(timeout=200)[0] for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    assert jobs[0].returncode == 0, outputs[0][-3000:] + outputs[1][-3000:]
    assert_same_training(tmp_path / "one", tmp_path / "two")


def test_a_run_continues_with_another_number_of_processes(tmp_path):
    common = ["--model", "pix2pix", "--checkpoints_dir", tmp_path, *TINY, *NETS["resnet"]]
    run_in_double("train.py", "--name", "whole", *common, "--batch_size", 4, "--n_epochs", 2)
    run_in_double("train.py", "--name", "parts", *common, "--batch_size", 2, "--n_epochs", 1, processes=2)
    run_in_double("train.py", "--name", "parts", "--checkpoints_dir", tmp_path, "--n_epochs", 2,
                  "--batch_size", 4, "--continue_train", "--override")
    assert_same_training(tmp_path / "whole", tmp_path / "parts")


def test_a_killed_process_ends_the_job(tmp_path):
    job = start(*in_double("train.py", "--model", "pix2pix", "--name", "x", "--checkpoints_dir", tmp_path,
                           *TINY, *NETS["resnet"], "--n_epochs", 1000, processes=2))
    log = tmp_path / "x" / "losses.jsonl"
    try:
        deadline = time.monotonic() + 120
        while not (log.is_file() and log.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.2)
        workers = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True).stdout.split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        _, err = job.communicate(timeout=60)
    finally:
        job.kill()
    assert job.returncode != 0
    assert re.search(r"SIGKILL|-9", err)
    for worker in workers:
        assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize(("model", "epochs"), [
    (["ugc_supernet", "--n_random_nets", 0], 3), (["pix2pix"], 3),
    (["pix2pix", "--lambda_r1", 1, "--r1_every", 2], 3),
    # after nine steps, Adam has turned rounding into differences of 1e-3 in this generator
    (["pix2pix", "--netG", "pix2pixhd"], 1), (["pix2pixhd", "--netG", "pix2pixhd"], 1)])
def test_accumulated_gradients_equal_those_of_one_batch(tmp_path, model, epochs):
    common = ["--checkpoints_dir", tmp_path, *TINY, *NETS["resnet"], "--batch_size", 4, "--n_epochs", epochs,
              "--model", *model]
    run_in_double("train.py", "--name", "whole", *common)
    run_in_double("train.py", "--name", "parts", *common, "--accumulate", 2)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
