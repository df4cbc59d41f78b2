"""Control characters of names reach no terminal: they are printed as escapes."""
import pytest

from compression.runtime.text import name_some, printable
from options.test_options import TestOptions
from util.entry import fail


@pytest.mark.parametrize(("name", "shown"), [
    ("a\x1b[31m.png", r"a\x1b[31m.png"), ("a\r\nb", r"a\r\nb"), ("\x9b2J", r"\x9b2J"),
    ("x\u202egnp", r"x\u202egnp"),
    ("bad\udcff", r"bad\udcff"), ("\u5199\u771f \xe9\u3000.png", "\u5199\u771f \xe9\u3000.png")])
def test_control_characters_are_escaped_and_letters_are_not(name, shown, capsys):
    assert printable(name) == shown
    assert name_some([name]) == shown
    with pytest.raises(SystemExit):
        fail(f"{name}: is damaged")
    assert capsys.readouterr().err == f"error: {shown}: is damaged\n"


def test_the_options_are_printed_without_control_characters(tmp_path, capsys):
    TestOptions().parse(["--gpu_ids", "-1", "--checkpoints_dir", str(tmp_path),
                         "--dataroot", "d\x1b]0;title\x07"])
    output = capsys.readouterr().out
    assert r"d\x1b]0;title\x07" in output
    assert "\x1b" not in output


def test_a_long_text_is_cut():
    assert printable("x" * 100, 40) == "x" * 40 + "..."
