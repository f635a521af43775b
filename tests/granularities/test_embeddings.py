import torch
from torch import nn

from pruning.granularities import EmbeddingDimensions, EmbeddingRows
from pruning.model.units import apply_masks, masks_of
from tests.architectures import WORDS, inputs_of, made


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
