"""scripts/install_plugin.py copies, updates and removes exactly its own files, all of them or none."""
import ast
import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys

import pytest

from modules import load_module
from paths import ROOT

CHECKOUT = ("train.py", "test.py", "models/base_model.py", "data/base_dataset.py", "options/base_options.py")
SCRIPTS = ("install_plugin.py", "host_checkout.py", "plugin_record.py", "rollback.py")
TEXT = "compression/runtime/text.py"  # which the installer reads without the package
HOST_MODULES = {"models", "models.base_model", "models.networks", "data", "data.base_dataset", "options",
                "options.base_options", "options.train_options", "options.test_options", "util", "util.util"}
# imported where it is used, and not used in a checkout of the host
NOT_IN_A_HOST = {("util/search_images.py", "util.label_maps"), ("data/adf_dataset.py", "data.check"),
                 ("util/supernet_search.py", "util.finalists")}


def load(root):
    """Import the installer of a repository as a module."""
    return load_module(root / "scripts" / "install_plugin.py")


def tree(folder):
    """The mode and content of everything below a folder, by path."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else None
        if path.is_symlink():
            content = os.readlink(path)
        entries[str(path.relative_to(folder))] = (path.lstat().st_mode, content)
    return entries


@pytest.fixture
def repo(tmp_path):
    """A small repository with the installer and a line for every file that it lists."""
    root = tmp_path / "ugc"
    for name in (*(f"scripts/{name}" for name in (*SCRIPTS, "install_plugin.sh")), TEXT):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((ROOT / name).read_bytes())
    listed = [name for name in load(root).FILES if "*" not in name]
    library = [f"compression/{name}.py" for name in ("__init__", "arch", "metrics/__init__", "metrics/image")]
    for name in (*listed, *library, "compression/__pycache__/arch.cpython-311.pyc", "compression/.arch.py",
                 "train.py", "models/base_model.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"FILE = {name!r}\n")
    return root


@pytest.fixture
def target(tmp_path):
    """A checkout of the host, with an executable file, a link, a hidden file and compiled modules."""
    folder = tmp_path / "host"
    for name in (*CHECKOUT, "models/__init__.py", "models/__pycache__/base_model.cpython-311.pyc",
                 "util/util.py", ".gitignore"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name} of the host\n")
    (folder / "train.py").chmod(0o755)
    (folder / "link").symlink_to("train.py")
    return folder


def run(repo, *arguments, ok=True, **settings):
    """Run the installer: returns its output, or its error, which must be one line with exit status 2."""
    done = subprocess.run([sys.executable, repo / "scripts" / "install_plugin.py", *arguments],
                          capture_output=True, text=True, timeout=60, **settings)
    assert done.returncode == (0 if ok else 2), done.stderr
    if ok:
        return done.stdout
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def recorded(target):
    return json.loads((target / ".ugc_plugin.json").read_text())["files"]


def test_install_adds_the_listed_files_and_changes_none(repo, target):
    before = tree(target)
    out = run(repo, target)
    after = tree(target)
    assert {path: after[path] for path in before} == before
    files = {path for path in after if after[path][1] is not None} - set(before)
    assert files == set(load(repo).plugin_files(repo)) | {".ugc_plugin.json"}
    assert "compression/metrics/image.py" in files
    assert not any("__pycache__" in path or "/." in path for path in files)
    for path, checksum in recorded(target).items():
        content = (target / path).read_bytes()
        assert content == (repo / path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == checksum
    assert recorded(target).keys() == files - {".ugc_plugin.json"}
    assert f"{len(files) - 1} new" in out
    assert "train.py --model ugc_supernet" in out
    assert "--uninstall" in out


def test_uninstall_leaves_the_checkout_as_it_was(repo, target):
    before = tree(target)
    run(repo, target)
    run(repo, target)  # installing twice is no different
    for name in ("models", "compression", "compression/metrics", "options", "."):  # as if the plugin had run
        (target / name / "__pycache__").mkdir(exist_ok=True)
    for name in ("models/__pycache__/ugc_base", "compression/__pycache__/arch",
                 "compression/metrics/__pycache__/image", "options/__pycache__/ugc_options",
                 "__pycache__/search"):
        for tag in ("cpython-311", "cpython-312.opt-1"):
            (target / f"{name}.{tag}.pyc").write_bytes(b"compiled")
    run(repo, target, "--uninstall")
    assert tree(target) == before


def test_files_of_the_host_and_the_user_stay(repo, target):
    run(repo, target)
    for name in ("options/__pycache__/base_options.cpython-311.pyc", "compression/mine.py",
                 "checkpoints/x/latest_net_G.pth"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("x")
    run(repo, target, "--uninstall")
    assert {str(p.relative_to(target))
            for p in (target / "compression").rglob("*")} == {"compression/mine.py"}
    assert (target / "options/__pycache__/base_options.cpython-311.pyc").is_file()
    assert (target / "checkpoints/x/latest_net_G.pth").is_file()


def test_dry_run_changes_nothing(repo, target):
    before = tree(target)
    out = run(repo, target, "--dry-run")
    assert tree(target) == before
    assert all(f"would copy {path}\n" in out for path in load(repo).plugin_files(repo))
    (target / "search.py").write_text("mine")
    assert "search.py" in run(repo, target, "--dry-run", ok=False)


def test_unknown_files_are_not_overwritten(repo, target):
    (target / "search.py").write_text("the user's own")
    (target / "util/lock.py").symlink_to("util.py")
    (target / "compression").write_text("a file where a folder is to be")
    before = tree(target)
    error = run(repo, target, ok=False)
    assert tree(target) == before
    assert all(name in error for name in ("search.py", "util/lock.py", "compression"))
    assert error.count("compression") == 1


def test_a_linked_folder_is_not_written_through(repo, target, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (target / "compression").symlink_to(tmp_path / "elsewhere")
    assert "compression" in run(repo, target, ok=False)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_update_replaces_adds_and_drops(repo, target):
    before = tree(target)
    run(repo, target)
    (repo / "compression/arch.py").write_text("newer")
    (repo / "compression/metrics/image.py").unlink()
    (repo / "compression/metrics/__init__.py").unlink()
    (repo / "compression/new").mkdir()
    (repo / "compression/new/part.py").write_text("part")
    out = run(repo, target)
    assert "1 new, 1 replaced, 2 removed" in out
    assert (target / "compression/arch.py").read_text() == "newer"
    assert not (target / "compression/metrics").exists()
    assert recorded(target).keys() == set(load(repo).plugin_files(repo))
    (target / "search.py").unlink()
    assert "1 new" in run(repo, target)  # what the user removed comes back
    run(repo, target, "--uninstall")
    assert tree(target) == before


def test_an_edited_file_is_neither_replaced_nor_removed(repo, target):
    before = tree(target)
    run(repo, target)
    (target / "compression/arch.py").write_text("edited")
    (target / "compression/metrics/image.py").write_text("edited too")
    (repo / "compression/metrics/image.py").unlink()  # which a new version would drop
    (repo / "search.py").write_text("newer")
    installed = tree(target)
    error = run(repo, target, ok=False)
    assert "compression/arch.py" in error
    assert "compression/metrics/image.py" in error
    assert "edited" in error
    assert tree(target) == installed
    out = run(repo, target, "--uninstall")
    assert "kept" in out
    assert "compression/arch.py" in out
    after = tree(target)
    kept = {path for path in after if path not in before}
    assert kept == {"compression", "compression/arch.py", "compression/metrics",
                    "compression/metrics/image.py"}
    assert {path: after[path] for path in before} == before


def test_an_error_half_way_is_rolled_back(repo, target):
    before = tree(target)
    (repo / "options/ugc_options.py").write_text("#" * 50_000)

    def limit():  # a file that is larger cannot be written
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    assert "File too large" in run(repo, target, ok=False, preexec_fn=limit)
    assert tree(target) == before
    (repo / "options/ugc_options.py").write_text("small")
    run(repo, target)
    installed = tree(target)
    (repo / "compression/arch.py").write_text("newer")
    (repo / "compression/metrics/image.py").unlink()
    (repo / "options/ugc_options.py").write_text("#" * 50_000)
    run(repo, target, ok=False, preexec_fn=limit)
    assert tree(target) == installed


@pytest.mark.parametrize("update", [False, True])
def test_an_error_at_any_rename_is_rolled_back(repo, target, monkeypatch, update):
    installer = load(repo)
    if update:
        installer.main([str(target)], repo)
        (repo / "compression/arch.py").write_text("newer")
        (repo / "search.py").write_text("newer")
        (repo / "compression/metrics/image.py").unlink()
    before, replace = tree(target), os.replace

    def install_with_failing_rename(number):
        """Whether an installation succeeds of which the rename with this number fails, if it has so many."""
        calls = 0

        def failing(old, new):
            nonlocal calls
            calls += 1
            if calls == number:
                raise OSError("no more")
            replace(old, new)

        monkeypatch.setattr(installer.os, "replace", failing)
        try:
            installer.install(repo, target, installer.plugin_files(repo))
        except OSError:
            return False
        return True

    number = 1
    while not install_with_failing_rename(number):
        assert tree(target) == before, number
        number += 1
    assert number > 4


def test_a_killed_installation_can_be_repeated_or_undone(repo, target):
    before = tree(target)
    script = ("import importlib.util, os, signal, sys\n"
              "spec = importlib.util.spec_from_file_location('x', sys.argv[1])\n"
              "m = importlib.util.module_from_spec(spec)\n"
              "spec.loader.exec_module(m); replace, count = os.replace, 0\n"
              "def dying(old, new):\n"
              "    global count\n"
              "    count += 1\n"
              "    replace(old, new)\n"
              "    if count == int(sys.argv[3]): os.kill(os.getpid(), signal.SIGKILL)\n"
              "os.replace = dying\n"
              "m.main([sys.argv[2]])\n")

    def killed(at):
        command = [sys.executable, "-c", script, repo / "scripts/install_plugin.py", target, str(at)]
        assert subprocess.run(command).returncode == -signal.SIGKILL

    killed(3)
    run(repo, target, "--uninstall")
    assert tree(target) == before
    killed(5)
    run(repo, target)
    installed = tree(target)
    assert recorded(target).keys() == set(load(repo).plugin_files(repo))
    assert not any(path.endswith((".ugc_new", ".ugc_old")) for path in installed)
    (repo / "compression/arch.py").write_text("newer")
    (repo / "search.py").write_text("newer")
    for at in (1, 2, 3, 4):
        killed(at)
        run(repo, target)
        assert (target / "search.py").read_text() == "newer"
        assert not any(path.endswith((".ugc_new", ".ugc_old")) for path in tree(target))
        for name in ("compression/arch.py", "search.py"):
            (repo / name).write_text(f"version {at}")
        killed(at)
        run(repo, target, "--uninstall")
        assert tree(target) == before
        run(repo, target)
        for name in ("compression/arch.py", "search.py"):
            (repo / name).write_text("newer")


def test_bad_targets_are_refused(repo, target, tmp_path):
    assert "no such folder" in run(repo, tmp_path / "nowhere", ok=False)
    assert "is not a folder" in run(repo, target / "train.py", ok=False)
    (tmp_path / "empty").mkdir()
    assert all(name in run(repo, tmp_path / "empty", ok=False) for name in CHECKOUT)
    (target / "models/base_model.py").unlink()
    error = run(repo, target, ok=False)
    assert "models/base_model.py" in error
    assert "options/base_options.py" not in error
    assert "this repository itself" in run(repo, repo, ok=False)
    assert "this repository itself" in run(repo, ".", ok=False, cwd=repo)


def test_bad_command_lines_are_refused(repo, target):
    before = tree(target)
    assert "not installed" in run(repo, target, "--uninstall", ok=False)
    run(repo, ok=False)
    run(repo, target, "--dry-run", "--uninstall", ok=False)
    run(repo, target, "--force", ok=False)
    assert tree(target) == before


def test_a_file_that_the_repository_lacks_is_named(repo, target):
    before = tree(target)
    (repo / "search.py").unlink()
    (repo / "data/held_out.py").unlink()
    error = run(repo, target, ok=False)
    assert "search.py" in error
    assert "data/held_out.py" in error
    assert "util/lock.py" not in error
    assert tree(target) == before


@pytest.mark.parametrize("content", ["{", "[]", '{"files": ["a"]}', '{"files": {"../train.py": "0"}}',
                                     '{"files": {"/x": "0"}}', '{"other": 1}', "[" * 10 ** 6,
                                     '{"folders": "a"}', '{"files": {"a\\u0000b": "0"}}',
                                     '{"files": {"a\\udc00b": "0"}}', '{"caches": null}',
                                     '{"files": {"search.py": 5}}', '{"files": {"search.py": "0"}}',
                                     '{"folders": [["util"]]}', '{"caches": {"a": 1}}',
                                     '{"folders": ["a/./b"]}', '{"folders": []}' + " " * 2 ** 20],
                         ids=range(17))
def test_a_damaged_record_is_refused(repo, target, content):
    (target / ".ugc_plugin.json").write_text(content)
    before = tree(target)
    assert "damaged" in run(repo, target, ok=False)
    assert "damaged" in run(repo, target, "--uninstall", ok=False)
    assert tree(target) == before


@pytest.fixture
def run_here(repo, capsys):
    """Run the installer in this process: returns its output, or its error, which must be one line."""
    def call(*arguments, ok=True):
        try:
            status = load(repo).main([*map(str, arguments)], root=repo)
        except SystemExit as stop:
            status = stop.code
        printed = capsys.readouterr()
        assert status == (0 if ok else 2), printed.err
        assert ok or re.fullmatch("error: [^\n]*\n", printed.err)
        return printed.out if ok else printed.err
    return call


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("train.py"),
                                  lambda path: path.symlink_to("/dev/zero")], ids=range(4))
def test_a_record_that_is_no_file_and_pipes_among_the_modules_are_not_read(run_here, target, make):
    os.mkfifo(target / "options/pipe.py")
    run_here(target, "--dry-run")
    make(target / ".ugc_plugin.json")
    before = tree(target)
    for flags in ((), ("--uninstall",), ("--dry-run",)):
        assert ".ugc_plugin.json: is not a regular file" in run_here(target, *flags, ok=False)
    assert tree(target) == before


def test_control_characters_of_names_are_escaped(run_here, target, tmp_path):
    hostile = target.rename(tmp_path / "h\x1b[31m\nost")
    outputs = [run_here(hostile, "--dry-run"), run_here(hostile), run_here(hostile, "--uninstall"),
               run_here(hostile, "--uninstall", ok=False), run_here(hostile / "none", ok=False),
               run_here(hostile, "--\x1b[31m", ok=False), run_here("x" * 300, ok=False)]
    assert not any("\x1b" in text for text in outputs)
    assert all(re.search(r"h\\x1b\[31m(\\n| )ost", text) for text in outputs[:5])


def test_the_shell_script_passes_all_arguments_on(repo, target):
    before = tree(target)
    command = ["bash", repo / "scripts/install_plugin.sh", target]
    settings = {"env": {**os.environ, "PYTHON": sys.executable}, "capture_output": True, "text": True}
    assert subprocess.run(command, **settings).returncode == 0
    assert (target / "search.py").is_file()
    assert subprocess.run([*command, "--uninstall"], **settings).returncode == 0
    assert tree(target) == before
    done = subprocess.run([*command, "--uninstall"], **settings)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("script", [*(f"scripts/{name}" for name in SCRIPTS), TEXT])
def test_the_installer_imports_only_the_standard_library(script):
    modules = set()
    for node in ast.walk(ast.parse((ROOT / script).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.partition(".")[0])
    assert modules <= {*sys.stdlib_module_names, "rollback", "host_checkout", "plugin_record"}


def test_every_module_of_the_library_is_listed():
    done = subprocess.run(["git", "ls-files", "compression/*.py"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode or not done.stdout:
        pytest.skip("not a git checkout: its files cannot be listed")
    installer = load(ROOT)
    patterns = [pattern for pattern in installer.FILES if "*" in pattern]
    assert set(done.stdout.split()) <= set(installer.plugin_files(ROOT, patterns))


def imported(path):
    """(module, names) of the imports of a file of the repository, except those that a ``try`` guards."""
    text = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    guarded = {id(inner) for node in ast.walk(text) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    for node in ast.walk(text):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.split("/")[:-node.level] if node.level else []
            module = ".".join([*package, *(node.module or "").split(".")]).strip(".")
            yield module, [alias.name for alias in node.names]


def test_the_plugin_imports_only_itself_and_what_every_host_has():
    installer = load(ROOT)
    files = set(installer.plugin_files(ROOT))
    ours = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files}
    repository = ("models", "data", "options", "util", "compression", "train", "test")
    wrong = set()
    for path in sorted(path for path in files if path.endswith(".py")):
        for module, names in imported(path):
            submodules = {f"{module}.{name}" for name in names}
            used = submodules & ours
            if not submodules <= ours or not submodules:
                used.add(module)
            for name in used - ours - HOST_MODULES:
                if name.partition(".")[0] in repository and (path, name) not in NOT_IN_A_HOST:
                    wrong.add(f"{path} imports {name}")
    assert not wrong, "\n".join(sorted(wrong))
