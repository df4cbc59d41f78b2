"""Runs survive signals, a second process, a full disk, changed flags, and an earlier run in their folder."""
import json
import os
import resource
import signal
import time

import pytest
import torch

from commands import execute, train_here
from commands import start as start_command
from compression import atomic_file, load_file, remove_temporary, save_atomic
from options.train_options import save_frequency
from util.entry import run_main
from util.lock import FolderLock
from util.progress import Progress
from util.run_folder import cut_logs
from util.util import append_text
from util.visualizer import Visualizer

TOY = ["--model", "pix2pix", "--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4",
       "--toy_train_images", "4", "--toy_test_images", "2", "--load_size", "36", "--crop_size", "32",
       "--gpu_ids", "-1", "--num_threads", "0", "--print_freq", "1", "--batch_size", "1", "--no_html",
       "--n_epochs", "1", "--n_epochs_decay", "1"]


def train(runs, name, *flags, status=0):
    """Run train.py in this process; returns (standard output, standard error)."""
    return train_here("--checkpoints_dir", runs, "--name", name, *flags, status=status)


def start(runs, name, *flags, script="train.py", **settings):
    """Start an entry point in a separate process."""
    return start_command(script, "--checkpoints_dir", runs, "--name", name, *flags, **settings)


def model_state(folder):
    return load_file(folder / "latest_state.pth")["model"]


def equal(a, b):
    """Whether nested values are equal, tensors bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def files(folder):
    """The contents of the files of a folder by name, without its lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir()
            if path.is_file() and path.name != ".lock"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of an undisturbed run of two epochs."""
    runs = tmp_path_factory.mktemp("runs")
    train(runs, "undisturbed", *TOY)
    return runs / "undisturbed"


@pytest.mark.parametrize(("number", "threads", "group"),
                         [(signal.SIGTERM, "0", False), (signal.SIGINT, "2", True),
                          (signal.SIGTERM, "2", True)])
def test_a_signal_saves_and_the_run_continues_exactly(tmp_path, number, threads, group):
    """Also if the loader's processes receive the signal, as from Ctrl-C or the scheduler of a cluster."""
    # with 24 images the signal arrives well within the first epoch
    flags = [*TOY, "--num_threads", threads, "--toy_train_images", "24"]
    process = start(tmp_path, "run", *flags, start_new_session=True,
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    while not (tmp_path / "run" / "losses.jsonl").is_file():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    (os.killpg if group else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err
    last = out.splitlines()[-1]
    assert last.startswith(f"stopped by {number.name}: saved at epoch 1 after ")
    command = f"python train.py --name run --checkpoints_dir {tmp_path} --continue_train"
    assert last.endswith(f"continue with: {command}")
    assert "continuing at epoch 1, after " in train(tmp_path, "run", "--continue_train")[0]
    train(tmp_path, "undisturbed", *flags)
    assert equal(model_state(tmp_path / "run"), model_state(tmp_path / "undisturbed"))


def test_a_second_signal_ends_at_once():
    code = ("import os, signal\nfrom util.signals import StopSignals\nwith StopSignals() as stop:\n"
            "    os.kill(os.getpid(), signal.SIGTERM)\n    print(stop.received.name, flush=True)\n"
            "    os.kill(os.getpid(), signal.SIGTERM)\n    print('still there')")
    done = execute("-c", code)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "SIGTERM\n")


def test_a_folder_in_use_is_not_changed_but_can_be_tested(undisturbed, tmp_path):
    before = files(undisturbed)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "train_opt.json").write_text('{"model": "ugc_supernet", "base_dataset_mode": "toy"}')
    with FolderLock(undisturbed), FolderLock(tmp_path / "net"):
        training = start(undisturbed.parent, "undisturbed", *TOY, "--overwrite")
        searching = start(tmp_path, "net", script="search.py")
        testing = start(undisturbed.parent, "undisturbed", "--model", "pix2pix",
                        "--results_dir", str(undisturbed.parent / "results"), script="test.py")
        for process in (training, searching):
            err = process.communicate(timeout=120)[1]
            assert process.returncode == 2
            assert f"is in use by process {os.getpid()} on " in err.splitlines()[-1]
        assert testing.wait(120) == 0
    assert files(undisturbed) | before == files(undisturbed)
    assert set(files(undisturbed)) - set(before) == {"test_opt.txt"}


def test_a_lock_of_a_dead_process_is_ignored(tmp_path):
    (tmp_path / ".lock").write_text('{"pid": 1, "host": "here", "since": "2000-01-01 00:00:00"}' + " " * 100)
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_full_disk_keeps_the_last_checkpoint(undisturbed, tmp_path):
    """A limit on the size of files imitates a full disk."""
    train(tmp_path, "run", *TOY)
    state = (tmp_path / "run" / "latest_state.pth").read_bytes()

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(state) - 100_000,) * 2)

    process = start(tmp_path, "run", "--continue_train", "--n_epochs", "3", preexec_fn=limit)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert "Traceback" not in err
    path = tmp_path / "run" / "latest_state.pth"
    assert err.splitlines()[-1] == (f"error: {path}: cannot be written (File too large); "
                                    "any previous file is unchanged")
    assert (tmp_path / "run" / "latest_state.pth").read_bytes() == state
    assert not list((tmp_path / "run").glob(".*.tmp"))


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def fail_while_writing():
        with atomic_file(path) as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_writing()
    assert files(tmp_path) == {"file": b"old"}

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = r"file: cannot be written \(No space left on device\); any previous file is unch"
    with pytest.raises(OSError, match=message):
        save_atomic({}, path)
    assert files(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize("part", ["run", "."])
def test_a_file_in_place_of_the_run_folder_is_refused(tmp_path, part):
    runs = tmp_path / "checkpoints"
    (runs / part).parent.mkdir(exist_ok=True)
    (runs / part).write_text("")
    _, err = train(runs, "run", *TOY, status=2)
    assert "cannot be written to" in err
    assert "--checkpoints_dir" in err
    assert err.count("\n") == 1


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o555)
    assert "cannot be written to (Permission denied)" in train(tmp_path, "run", *TOY, status=2)[1]


def test_temporary_files_of_killed_runs_are_removed(undisturbed, tmp_path):
    (tmp_path / "run" / "search").mkdir(parents=True)
    left = [tmp_path / "run" / ".latest_state.pth.x1y2z3.tmp",
            tmp_path / "run" / "search" / ".state.json.abc.tmp"]
    for path in left:
        path.write_bytes(b"half")
    train(tmp_path, "run", *TOY)
    assert not any(path.exists() for path in left)
    remove_temporary(tmp_path / "nowhere")  # is not an error


def test_logs_are_cut_to_the_iterations_of_the_state(undisturbed, tmp_path, monkeypatch):
    log = Visualizer.print_current_losses

    def stopping(self, epoch, iters, *rest):
        log(self, epoch, iters, *rest)
        if (epoch, iters) == (2, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(Visualizer, "print_current_losses", stopping)
    train(tmp_path, "run", *TOY, "--save_latest_freq", "2", status=130)
    monkeypatch.setattr(Visualizer, "print_current_losses", log)
    run = tmp_path / "run"
    assert len((run / "losses.jsonl").read_text().splitlines()) == 7  # the state has seen six
    train(tmp_path, "run", "--continue_train")
    assert (run / "losses.jsonl").read_bytes() == (undisturbed / "losses.jsonl").read_bytes()
    lines = [line for line in (run / "loss_log.txt").read_text().splitlines() if "=" not in line]
    assert len(lines) == 8
    assert all(f"(epoch: {1 + i // 4}, iters: {1 + i % 4}, " in line for i, line in enumerate(lines))


def test_a_deleted_log_does_not_stop_a_resumed_run(tmp_path):
    append_text(tmp_path / "losses.jsonl", "one\ntwo\n")
    cut_logs(tmp_path, {"losses.jsonl": 4, "loss_log.txt": 100})
    assert files(tmp_path) == {"losses.jsonl": b"one\n"}


def test_changed_flags_stop_the_run_unless_overridden(undisturbed, tmp_path):
    train(tmp_path, "run", *TOY)
    before = files(tmp_path / "run")
    err = train(tmp_path, "run", "--continue_train", "--lr", "0.001", "--toy_train_images", "3", status=2)[1]
    assert "--lr was 0.0002, now 0.001; --toy_train_images was 4, now 3" in err
    assert err.count("\n") == 1
    assert files(tmp_path / "run") == before
    train(tmp_path, "run", "--continue_train", "--n_epochs", "3", "--n_epochs_decay", "0", "--lr", "0.001",
          "--beta1", "0.9", "--override")
    group = model_state(tmp_path / "run")["optimizers"][0]["param_groups"][0]
    assert (group["lr"], group["initial_lr"], group["betas"]) == (0.0, 0.001, (0.9, 0.999))
    assert json.loads((tmp_path / "run" / "train_opt.json").read_text())["lr"] == 0.001
    assert "is finished" in train(tmp_path, "run", "--continue_train")[0]  # the new ones are the run's now


def test_harmless_flags_may_change(undisturbed, tmp_path):
    train(tmp_path, "run", *TOY, "--n_epochs_decay", "0")
    train(tmp_path, "run", "--continue_train", "--n_epochs_decay", "1", "--print_freq", "3",
          "--save_latest_freq", "1m", "--num_threads", "1", "--epoch_count", "2",
          "--gpu_ids", "-1" if torch.cuda.is_available() else "auto")
    assert equal(model_state(tmp_path / "run")["networks"], model_state(undisturbed)["networks"])


@pytest.mark.parametrize("name", ["nothing", "never_saved"])
def test_continuing_without_a_saved_run_is_refused(tmp_path, name):
    train(tmp_path, "never_saved", *TOY, "--lambda_L1", "1e39", status=2)
    _, err = train(tmp_path, name, "--continue_train", status=2)
    assert err == (f"error: --continue_train: {tmp_path / name} holds no saved run, there is nothing to "
                   "continue; start it without --continue_train\n")


def test_a_finished_run_restores_networks_that_a_kill_kept_from_disk(undisturbed, tmp_path, monkeypatch):
    """A save writes first the state, then the networks."""
    def killed(self, tags):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "_write_networks", killed)
    train(tmp_path, "run", *TOY, "--n_epochs_decay", "0", status=130)
    monkeypatch.undo()
    assert {path.name for path in (tmp_path / "run").glob("*.pth")} == {"latest_state.pth"}
    assert "is finished" in train(tmp_path, "run", "--continue_train")[0]
    assert equal(load_file(tmp_path / "run" / "latest_net_G.pth"),
                 model_state(tmp_path / "run")["networks"]["G"])


@pytest.fixture
def earlier(tmp_path):
    """A finished run with best networks: its folder."""
    train(tmp_path, "run", *TOY, "--eval_every", "1", "--eval_images", "2", "--eval_phase", "test")
    return tmp_path / "run"


def test_a_new_run_that_never_saves_keeps_the_earlier_one(earlier):
    before = files(earlier)
    _, err = train(earlier.parent, "run", *TOY, "--overwrite", "--seed", "5", "--lambda_L1", "1e39", status=2)
    assert "holds an earlier run; its files stay until the first save of this new one" in err
    assert "replaces them" in err
    assert not (earlier / "best_net_G.pth").exists()
    assert not (earlier / "validation.jsonl").exists()
    assert "is finished" in train(earlier.parent, "run", "--continue_train")[0]
    kept = files(earlier)
    assert kept.keys() == before.keys()
    assert not list(earlier.glob("previous*"))
    assert all(kept[name] == before[name] for name in kept if not name.startswith("train_opt"))
    options = json.loads(before["train_opt.json"]) | {"gpu_ids": "auto"}  # a setting of the machine
    assert json.loads(kept["train_opt.json"]) == options


def test_a_new_run_replaces_all_files_of_the_earlier_one(earlier):
    train(earlier.parent, "run", *TOY, "--overwrite", "--seed", "5", "--eval_every", "2",
          "--eval_images", "2", "--eval_phase", "test")
    assert not list(earlier.glob("previous*"))
    assert [json.loads(line)["epoch"]
            for line in (earlier / "validation.jsonl").read_text().splitlines()] == [2]
    assert len((earlier / "losses.jsonl").read_text().splitlines()) == 8
    assert (earlier / "loss_log.txt").read_text().count("Training Loss") == 1
    assert equal(load_file(earlier / "best_net_G.pth"), load_file(earlier / "latest_net_G.pth"))


@pytest.mark.parametrize(("text", "value"), [("5000", 5000), ("10m", "10m"), (".5m", ".5m")])
def test_save_frequencies_are_parsed(text, value):
    assert save_frequency(text) == value


@pytest.mark.parametrize("text", ["0", "-1", "0m", "10 min", "m", "1.5", "nan"])
def test_invalid_save_frequencies_are_refused(text, tmp_path):
    err = train(tmp_path, "run", *TOY, f"--save_latest_freq={text}", status=2)[1]
    assert f"must be a number of images, such as 5000, or of minutes, such as 10m, got {text}" in err


def test_runs_are_saved_after_the_given_minutes(tmp_path, monkeypatch):
    """The monotonic clock advances half a minute per call; the wall clock runs backwards and is not used."""
    saves, save = [], Progress.save
    clock, wall = iter(range(0, 10 ** 7, 30)), iter(range(10 ** 9, 0, -3600))
    monkeypatch.setattr("util.progress.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("util.progress.time.time", lambda: next(wall))

    def recording(self, *tags):
        saves.append(self.total_iters)
        save(self, *tags)

    monkeypatch.setattr(Progress, "save", recording)
    train(tmp_path, "run", *TOY, "--save_latest_freq", "1m", "--save_epoch_freq", "100")
    assert saves[:3] == [1, 2, 3]


@pytest.mark.parametrize("error",
                         [MemoryError(),
                          torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
                          RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")])
def test_lack_of_memory_is_one_error_line(error, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as stop:
        run_main(main)
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.count("\n") == 1
    assert err.startswith("error: out of memory (")
    assert all(flag in err for flag in ("--batch_size", "--accumulate", "--amp", "--crop_size"))


def test_lack_of_cpu_memory_is_one_error_line_and_other_errors_are_raised(capsys):
    with pytest.raises(SystemExit):
        run_main(lambda: torch.empty(2 ** 50))
    assert "out of memory" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run_main(lambda: torch.ones(2, 3) @ torch.ones(2, 3))
