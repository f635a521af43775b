from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pruning.granularities import EmbeddingDimensions, EmbeddingRows
from pruning.model.module_sizes import ModuleSizes, sizes_between
from pruning.model.surgery import masked_copy, remove_units
from pruning.model.units import apply_masks, masks_of
from tests.architectures import WORDS, inputs_of, made
from tests.networks import seeded


def test_a_row_is_a_word_and_a_column_a_dimension():
    model = nn.Sequential(nn.Embedding(3, 2, padding_idx=0), nn.Flatten(), nn.Linear(4, 1))
    model[0].weight.data = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
    example = torch.tensor([[1, 2]])
    (words,), reasons = EmbeddingRows().sorted_out(model, example)
    (dimensions,), _ = EmbeddingDimensions().sorted_out(model, example)
    assert reasons == {"2": "Linear is no embedding: choose another granularity"}
    values = {"0.weight": model[0].weight}
    assert words.layout == (3,) and words.sums(values).tolist() == [0.0, 3.0, 7.0]  # the padding is zero from the start
    assert dimensions.layout == (2,) and dimensions.sums(values).tolist() == [4.0, 6.0]
    apply_masks(model, masks_of([dimensions], {"0": torch.tensor([True, False])}, model))
    assert model[0].weight.tolist() == [[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]]
    apply_masks(model, masks_of([words], {"0": torch.tensor([True, False, True])}, model))
    assert model[0].weight.tolist() == [[0.0, 0.0], [0.0, 0.0], [3.0, 0.0]]


def test_a_tied_embedding_is_one_group_and_the_tie_survives():
    model, ids = made("language_model"), inputs_of("language_model")
    for granularity, units in ((EmbeddingRows(), WORDS), (EmbeddingDimensions(), 6)):
        groups, reasons = granularity.sorted_out(model, ids[:1])
        assert [group.name for group in groups] == ["words", "positions"] and groups[0].units == units
        assert "head" not in reasons
    keep = {"words": torch.arange(WORDS) != 3, "positions": torch.ones(5, dtype=torch.bool)}
    groups, _ = EmbeddingRows().sorted_out(model, ids[:1])
    apply_masks(model, masks_of(groups, keep, model))
    assert model.head.weight is model.words.weight and not model.head.weight[3].any()
    with torch.no_grad():
        assert not model(ids)[..., 3].any()  # a word without a vector has the logit 0: the head has no bias


def test_an_output_layer_that_comes_first_gives_the_group_its_name():
    class HeadFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.words = nn.Linear(2, 5, bias=False), nn.Embedding(5, 2)
            self.words.weight = self.head.weight

        def forward(self, ids):
            return self.head(self.words(ids).mean(dim=1))

    groups, reasons = EmbeddingRows().sorted_out(HeadFirst(), torch.tensor([[1, 2]]))
    assert [(group.name, group.layout) for group in groups] == [("head", (5,))] and reasons == {}


IDS = torch.tensor([[0, 3, 1], [4, 2, 2], [3, 3, 0]])


class Looking(nn.Module):
    """Classifies the mean of the words' vectors, which `look` gets of their numbers."""

    def __init__(self, words: nn.Embedding, look: Callable[["Looking", Tensor], Tensor]) -> None:
        super().__init__()
        self.words, self.head, self.look = words, nn.Linear(4, 3), look

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.look(self, ids).mean(dim=1))


def plain(model: Looking, ids: Tensor) -> Tensor:
    return model.words(ids)


@torch.no_grad()
def test_rows_that_are_removed_are_words_without_a_vector_and_the_others_go_on_learning():
    model = seeded(lambda: Looking(nn.Embedding(5, 4, padding_idx=1), plain))
    (group,), _ = EmbeddingRows().sorted_out(model, IDS[:1])
    keep = {"words": torch.tensor([False, True, True, False, True])}
    masked, smaller = masked_copy(model, [group], keep), remove_units(model, IDS[:1], [group], keep)
    assert group.fixed == "" and torch.equal(smaller(IDS), masked(IDS))
    assert torch.equal(smaller.words.weight, model.words.weight[[1, 2, 4]])
    assert smaller.words.row_of.tolist() == [-1, 0, 1, -1, 2]
    assert (smaller.words.num_embeddings, smaller.words.embedding_dim) == (5, 4)
    assert sizes_between(model, smaller) == ModuleSizes(classes={"words": "NarrowEmbedding"})
    with torch.enable_grad():
        smaller.train()(IDS).sum().backward()
    assert smaller.words.weight.grad.abs().sum(dim=1).gt(0).tolist() == [
        False,
        True,
        True,
    ]  # the padding learns nothing


@torch.no_grad()
def test_rows_can_be_removed_from_what_has_lost_some():
    model = seeded(lambda: Looking(nn.Embedding(5, 4), plain))
    (group,), _ = EmbeddingRows().sorted_out(model, IDS[:1])
    once = remove_units(model, IDS[:1], [group], {"words": torch.tensor([True, False, True, True, True])})
    (group,), _ = EmbeddingRows().sorted_out(once, IDS[:1])
    keep = {"words": torch.tensor([False, True, True, True])}
    twice = remove_units(once, IDS[:1], [group], keep)
    assert group.layout == (4,) and twice.words.row_of.tolist() == [-1, -1, 0, 1, 2]
    assert torch.equal(twice(IDS), masked_copy(once, [group], keep)(IDS))


class Own(nn.Embedding):
    """May look up in any way."""


def directly(model: Looking, ids: Tensor) -> Tensor:
    return nn.functional.embedding(ids, model.words.weight)


def beside(model: Looking, ids: Tensor) -> Tensor:
    return model.words(ids) + model.words.weight.mean(dim=0)


def in_training(model: Looking, ids: Tensor) -> Tensor:
    return beside(model, ids) if model.training else model.words(ids)


def unused(model: Looking, ids: Tensor) -> Tensor:
    return ids[..., None].float().expand(-1, -1, 4)


MORE = "the model itself does more with its weight"
SCALED = "words changes its rows or their gradients by what else is looked up"
TOO = "the model itself looks rows of its weight up too"
ONLY_ZEROED = {
    "its weight is looked up elsewhere": (nn.Embedding, {}, directly, TOO),
    "its weight is averaged": (nn.Embedding, {}, beside, f"{MORE} (mean)"),
    "its weight is averaged in training": (nn.Embedding, {}, in_training, f"{MORE} (mean)"),
    "it is not used": (nn.Embedding, {}, unused, "the network does not use words on the example"),
    "a class of one's own": (Own, {}, plain, "words is of class Own, which may do more than look its rows up"),
    "rows are scaled": (nn.Embedding, {"max_norm": 1.0}, plain, SCALED),
    "gradients are scaled": (nn.Embedding, {"scale_grad_by_freq": True}, plain, SCALED),
}  # fmt: skip


@pytest.mark.parametrize("case", ONLY_ZEROED)
def test_rows_of_what_is_more_than_a_table_are_only_set_to_zero(case):
    kind, options, look, reason = ONLY_ZEROED[case]
    model = seeded(lambda: Looking(kind(5, 4, **options), look))
    (group,), _ = EmbeddingRows().sorted_out(model, IDS[:1])
    assert group.fixed == f"{reason}: they are set to zero"
    smaller = remove_units(model, IDS[:1], [group], {"words": torch.arange(5) > 1})
    assert type(smaller.words) is kind and len(smaller.words.weight) == 5


def test_rows_of_a_tied_weight_say_who_else_has_it():
    words, positions = EmbeddingRows().sorted_out(made("language_model"), inputs_of("language_model", count=1))[0]
    assert words.fixed == "head does more with its weight (t): they are set to zero" and positions.fixed == ""
