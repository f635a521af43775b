"""What an unforeseen error is called: whole, on one line, and with the right one to blame."""

import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pruning.cli.faults import fault, own_line
from pruning.errors import describe, printable

TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def caught(action) -> Exception:
    with pytest.raises(Exception) as found:
        action()
    return found.value


def test_keys_with_a_prefix_are_counted_and_the_prefix_is_named():
    net = nn.Sequential(nn.Linear(2, 2))
    error = caught(lambda: net.load_state_dict({f"module.{key}": value for key, value in net.state_dict().items()}))
    assert describe(error) == (
        "RuntimeError: load_state_dict: 2 keys are missing from the weights (0.weight, ...); 2 keys fit nothing in the "
        "model (module.0.weight, ...); all of the second begin with 'module.': take it off the names"
    )


def test_a_checkpoint_around_the_weights_names_its_entries():
    net = nn.Sequential(nn.Linear(2, 2))
    error = caught(lambda: net.load_state_dict({"state_dict": net.state_dict(), "epoch": torch.zeros(1)}))
    assert "the weights may be one of the entries state_dict, epoch" in describe(error)


def test_a_long_error_is_cut_between_words_and_lines_become_one():
    assert describe(ValueError("one\n  two")) == "ValueError: one two"
    assert describe(ValueError()) == "ValueError"
    said = describe(ValueError("word " * 100))
    assert said.endswith("word ...") and len(said) < 330


def test_the_line_of_a_persons_own_file_is_named_and_a_fault_of_ours_is_ours(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("import torch\n\ndef wrong():\n    return torch.zeros(2) @ torch.zeros(3)\n")
    space: dict = {}
    exec(compile(file.read_text(), str(file), "exec"), space)
    error = caught(space["wrong"])
    assert own_line(error) == "mine.py, line 4" and fault(error).endswith("mend the file")
    ours = caught(lambda: describe(None, None))  # type: ignore[call-arg]
    ours = ours.with_traceback(None)
    assert own_line(ours) == "" and "not of your files" in fault(ours) and "mend" not in fault(ours)


@given(st.text(), st.one_of(st.none(), st.integers(3, 50)))
def test_text_from_elsewhere_neither_steers_a_terminal_nor_turns_the_writing(text: str, longest: int | None) -> None:
    found = printable(text, longest)
    assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in found)
    assert not any(unicodedata.bidirectional(letter) in TURNS for letter in found)
    assert longest is None or len(found) <= longest
    found.encode()


def test_what_is_harmless_stays_and_what_is_long_keeps_both_its_ends() -> None:
    assert printable("größer als 3 µs, ○ 日本語 עברית 👍🏽") == "größer als 3 µs, ○ 日本語 עברית 👍🏽"
    assert printable("\x1b[2J\r\n\x7f\u202e\x9b") == "␛[2J␍␊␡��"
    assert printable("a" * 50 + "b" * 50, 9) == "aaaa…bbbb" and printable("short", 9) == "short"
