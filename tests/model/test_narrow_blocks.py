"""Blocks that are not there and words without a vector, by themselves. Attention and recurrence: test_narrow_layers."""

import pytest
import torch
from torch import nn

from pruning.model.narrow_layers import CLASSES, NarrowEmbedding, become

FIRST, SECOND = torch.tensor([1.0]), torch.tensor([2.0])


def block() -> nn.Module:
    made = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    made.kind = "sliding"
    return made


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Skipped", FIRST),
        ("SkippedOfOne", (FIRST,)),
        ("SkippedOfTwo", (FIRST, None)),
        ("SkippedOfThree", (FIRST, None, None)),
    ],
)
def test_a_block_that_was_taken_out_gives_the_first_tensor_that_goes_in(name, expected):
    skipped = block()
    become(skipped, name)
    assert skipped(FIRST, SECOND) == skipped(None, FIRST, mask=SECOND) == skipped(hidden=FIRST, mask=SECOND) == expected


def test_a_block_that_was_taken_out_holds_nothing_but_what_it_says_of_itself():
    model = nn.Sequential(block(), nn.Linear(1, 1)).eval()
    held = model[0]
    become(model[0], "Skipped")
    assert model[0] is held and held.kind == "sliding" and not held.training
    assert model.state_dict().keys() == {"1.weight", "1.bias"} and list(held.children()) == []


def forgetful(**options: object) -> nn.Embedding:
    """Five words; the second and the fourth have no vector."""
    words = nn.Embedding(5, 2, **options)  # type: ignore[arg-type]
    become(words, "NarrowEmbedding")
    words.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    words.row_of = torch.tensor([0, -1, 1, -1, 2], dtype=torch.int32)
    return words


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_a_word_has_the_vector_of_its_row_and_one_without_is_zero(kind):
    found = forgetful()(torch.tensor([[4, 1, 0], [3, 2, 4]], dtype=kind))
    assert found.tolist() == [[[5, 6], [0, 0], [1, 2]], [[0, 0], [3, 4], [5, 6]]]


def test_a_new_table_holds_all_words():
    words = nn.Embedding(3, 2)
    become(words, "NarrowEmbedding")
    assert words.row_of.tolist() == [0, 1, 2] and torch.equal(words(torch.arange(3)), words.weight)


@pytest.mark.parametrize("number", [5, -1])
def test_a_word_that_there_is_not_is_an_error_as_before(number):
    with pytest.raises(IndexError):
        forgetful()(torch.tensor([number]))


def test_rows_learn_and_the_padding_does_not():
    words = forgetful(padding_idx=2)
    words(torch.tensor([0, 0, 1, 2, 3])).sum().backward()
    # the first word twice; the third is padding; the others have no row, and the last is not looked up
    assert words.weight.grad.tolist() == [[2, 2], [0, 0], [0, 0]]


def test_every_class_has_its_name_in_the_table():
    assert (
        all(made.__name__ == name for name, made in CLASSES.items()) and CLASSES["NarrowEmbedding"] is NarrowEmbedding
    )
