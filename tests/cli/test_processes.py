"""torchrun: several processes train as one does (compared in double precision); a process that dies ends the job."""
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
import torch

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--ngf", "8", "--ndf", "8", "--toy_train_images", "16", "--toy_test_images", "4", "--num_threads", "0", "--n_epochs_decay", "0",
        "--print_freq", "4", "--no_html", "--no_dropout"]
NETS = {"resnet": ["--netG", "resnet_6blocks", "--norm", "instance", "--load_size", "32", "--crop_size", "32"],
        "unet": ["--netG", "unet_128", "--norm", "syncbatch", "--load_size", "128", "--crop_size", "128"]}


def command(script, *arguments, processes=1):
    """The command line of an entry point, under torchrun for several processes."""
    run = [sys.executable] if processes == 1 else \
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [*run, "tests/helpers/in_double.py", script, *map(str, arguments)]


def run(*arguments, **settings):
    done = subprocess.run(command(*arguments, **settings), cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    return done.stdout


def weights(folder):
    """Every tensor of the networks in a training state."""
    networks = torch.load(folder / "latest_state.pth", weights_only=True)["model"]["networks"]
    return {f"{name}.{key}": value for name, state in networks.items() for key, value in state.items()}


def losses(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def assert_same(one, two):
    assert losses(one) and len(losses(one)) == len(losses(two))
    for a, b in zip(losses(one), losses(two)):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-5)
    ours, theirs = weights(one), weights(two)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert torch.allclose(value.double(), theirs[key].double(), rtol=0, atol=1e-5), key


@pytest.fixture(scope="module", params=list(NETS))
def supernets(request, tmp_path_factory):
    """20 steps of stage 1 by one process, and by two with half the batch each: the folder."""
    at = tmp_path_factory.mktemp(request.param)
    for name, processes in (("one", 1), ("two", 2)):
        run("train.py", "--model", "ugc_supernet", "--name", name, "--checkpoints_dir", at, "--label_ratio", "0.5", *TINY,
            *NETS[request.param], "--batch_size", 4 // processes, "--n_epochs", 10, processes=processes)
    return at


def test_two_processes_train_the_supernet_that_one_trains(supernets):
    assert len(losses(supernets / "one")) == 20
    assert_same(supernets / "one", supernets / "two")


def test_two_processes_search_and_distil_as_one_does(supernets):
    for name, processes in (("one", 1), ("two", 2)):
        (supernets / name).joinpath("search").mkdir(exist_ok=True)
        run("search.py", "--name", "one", "--checkpoints_dir", supernets, "--population", "4", "--generations", "2",
            "--search_images", "4", "--calibration_images", "4", processes=processes)
        found = {p.stem: json.loads(p.read_text()) for p in (supernets / "one" / "search").glob("*.json") if p.stem != "state"}
        found = {stem: {k: v for k, v in value.items() if k != "front"} for stem, value in found.items()}
        if processes == 2:
            assert found == before
        before = found
        run("train.py", "--model", "ugc_distill", "--name", f"student_{name}", "--supernet", "one", "--checkpoints_dir", supernets,
            "--batch_size", 4 // processes, "--n_epochs", 10, "--n_epochs_decay", 0, "--print_freq", 4, "--no_html",
            "--num_threads", 0, processes=processes)
    assert_same(supernets / "student_one", supernets / "student_two")


@pytest.fixture
def two_hosts():
    """Two network namespaces with a link between them, 10.77.0.1 and 10.77.0.2: what puts a command into each."""
    names = [f"ugc{os.getpid()}{end}" for end in "ab"]
    setup = [f"ip netns add {names[0]}", f"ip netns add {names[1]}",
             f"ip link add {names[0]} netns {names[0]} type veth peer name {names[1]} netns {names[1]}"]
    for i, name in enumerate(names, 1):
        setup += [f"ip -n {name} addr add 10.77.0.{i}/24 dev {name}", f"ip -n {name} link set lo up", f"ip -n {name} link set {name} up"]
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


def test_two_hosts_train_as_one_process_does(two_hosts, tmp_path):
    common = ["--model", "ugc_supernet", "--checkpoints_dir", tmp_path, "--label_ratio", "0.5", *TINY, *NETS["resnet"], "--n_epochs", 2]
    run("train.py", "--name", "one", *common, "--batch_size", 4)
    jobs = [subprocess.Popen([*host, sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1",
                              "--node_rank", str(i), "--master_addr", "10.77.0.1", "--master_port", "29400", "tests/helpers/in_double.py",
                              "train.py", "--name", "two", *map(str, common), "--batch_size", "2"], cwd=ROOT, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"})
            for i, host in enumerate(two_hosts)]
    try:
        said = [job.communicate(timeout=200)[0] for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    assert jobs[0].returncode == 0, said[0][-3000:] + said[1][-3000:]
    assert_same(tmp_path / "one", tmp_path / "two")


def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    common = ["--model", "pix2pix", "--checkpoints_dir", tmp_path, *TINY, *NETS["resnet"], "--batch_size", 2]
    run("train.py", "--name", "whole", *common, "--n_epochs", 2, processes=2)
    run("train.py", "--name", "parts", *common, "--n_epochs", 1, processes=2)
    run("train.py", "--name", "parts", "--checkpoints_dir", tmp_path, "--n_epochs", 2, "--batch_size", 4, "--continue_train", "--override")
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_a_process_that_dies_ends_the_job(tmp_path):
    job = subprocess.Popen(command("train.py", "--model", "pix2pix", "--name", "x", "--checkpoints_dir", tmp_path, *TINY,
                                   *NETS["resnet"], "--n_epochs", 1000, processes=2), cwd=ROOT, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
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
    assert job.returncode != 0 and re.search(r"SIGKILL|-9", err)
    for worker in workers:
        assert not Path(f"/proc/{worker}").exists()


def test_accumulated_parts_are_one_batch(tmp_path):
    common = ["--model", "ugc_supernet", "--n_random_nets", 0, "--checkpoints_dir", tmp_path, *TINY, *NETS["resnet"],
              "--batch_size", 4, "--n_epochs", 3]
    run("train.py", "--name", "whole", *common)
    run("train.py", "--name", "parts", *common, "--accumulate", 2)
    ours, theirs = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for key, value in ours.items():
        assert torch.allclose(value, theirs[key], rtol=0, atol=1e-5), key
