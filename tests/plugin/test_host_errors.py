"""In a checkout, errors of the plugin end in one line, and those of other files keep their traceback."""
import json
import sys

import pytest

from util.host_errors import report_own_errors

WORKER = """Caught ValueError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "torch/fetch.py", line 1, in fetch
  File "ROOT/models/ours.py", line 2, in item
ValueError: no pairs"""


@pytest.fixture
def report(tmp_path, monkeypatch):
    """A function that runs code of a file of a checkout, where models/ours.py belongs to the plugin.

    It returns the errors that are passed on to the previous hook.
    """
    (tmp_path / ".ugc_plugin.json").write_text(json.dumps({"files": {"models/ours.py": "0"}}))
    others = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: others.append(error))
    report_own_errors(tmp_path)

    def run(file, code):
        try:
            exec(compile(code.replace("ROOT", str(tmp_path)), tmp_path / file, "exec"), {})
        except Exception as error:
            sys.excepthook(type(error), error, error.__traceback__)
        return others

    return run


@pytest.mark.parametrize(("file", "code", "line"), [
    ("models/ours.py", "raise ValueError('bad\\n flag')", "error: bad flag"),
    ("train.py", f"raise ValueError('''{WORKER}''')", "error: no pairs")])
def test_an_error_of_the_plugin_is_one_line(report, capsys, file, code, line):
    with pytest.raises(SystemExit) as stop:
        report(file, code)
    assert stop.value.code == 2
    assert capsys.readouterr().err == line + "\n"


@pytest.mark.parametrize(("file", "code"), [("models/theirs.py", "raise ValueError('theirs')"),
                                            ("models/ours.py", "raise KeyError('a fault')")])
def test_other_errors_keep_their_traceback(report, capsys, file, code):
    assert len(report(file, code)) == 1
    assert capsys.readouterr().err == ""
