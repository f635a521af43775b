"""What an unforeseen error is called: whole, on one line, and with the right one to blame."""

import pytest
import torch
from torch import nn

from pruning.cli.faults import fault, own_line
from pruning.errors import describe


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
