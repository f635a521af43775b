import pytest
import torch
from torch import Tensor, nn

from pruning.measure import Comparison, class_scores, judge_all, judge_some, look_half_width, next_look
from pruning.workload import Classification, TensorSplit
from tests.networks import CLASSES, CPU, conv_bn, mlp, samples, seeded

TASK = Classification(CLASSES)


def scored(model: nn.Module, split: TensorSplit) -> Tensor:
    """The per-sample scores in the plainest way."""
    with torch.no_grad():
        return torch.tensor(
            [float(model(x[None]).argmax() == y) for x, y in zip(split.inputs, split.targets, strict=True)]
        )


def test_a_split_is_judged_sample_by_sample_in_its_order():
    model, split = seeded(mlp), samples((6,), 1100, 0)
    scores, targets = judge_all(model, split, TASK, CPU)
    assert torch.equal(scores, scored(model, split)) and torch.equal(targets, split.targets)
    assert 0.1 < float(scores.mean()) < 0.9


def test_some_samples_are_judged_in_the_order_asked():
    model, split = seeded(mlp), samples((6,), 50, 0)
    index = torch.tensor([7, 3, 49])
    assert torch.equal(judge_some(model, split, TASK, CPU, index)[0], scored(model, split)[index])


def test_judging_uses_eval_mode_and_gives_the_mode_back():
    model, split = seeded(conv_bn).train(), samples((2, 8, 8), 40, 0)
    before = model[1].running_mean.clone()
    judge_all(model, split, TASK, CPU)
    assert model.training and torch.equal(before, model[1].running_mean)


def test_class_scores_are_means_over_each_class():
    scores, targets = torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 2, 2])
    assert class_scores(scores, targets, 4) == (0.5, 0.0, 1.0, 0.0)
    assert class_scores(scores, torch.tensor([0.5, 1.5, 2.5, 3.5]), 0) == ()


@pytest.mark.parametrize(
    "total, looks",
    [
        (100, [100]),
        (251, [251]),
        (499, [499]),
        (500, [250, 500]),
        (600, [250, 600]),
        (1500, [250, 500, 1000, 1500]),
        (10000, [250, 500, 1000, 2000, 4000, 8000, 10000]),
    ],
)
def test_looks_double_and_end_at_all(total, looks):
    at, found = 0, []
    while at < total:
        at = next_look(at, total)
        found.append(at)
    assert found == looks


def test_the_half_width_worked_out_by_hand():
    # 250 of 1000 seen, 10 lost and 5 won; looks at 250, 500 and 1000: z of 1 - 0.05 / 6 is 2.39398
    # with z² = 5.73114 samples added: n = 255.73114, Σd² = 15 + 2.86557, Σd = -5; variance 0.0698608 - 0.0195518²
    # 2.39398 · √(0.0694785 / 250 · (1 - 250 / 1000)) = 0.0345626
    differences = torch.cat([-torch.ones(10), torch.ones(5), torch.zeros(235)])
    assert look_half_width(differences, 1000) == pytest.approx(0.0345626, abs=1e-6)


def test_a_look_without_any_difference_is_not_certainty():
    assert 0.01 < look_half_width(torch.zeros(250), 1000) < 0.02


def test_the_half_width_is_zero_once_all_are_seen():
    assert look_half_width(torch.ones(300), 300) == 0.0


@pytest.mark.parametrize(
    "lost, won", [(0.01, 0.0), (0.05, 0.0), (0.02, 0.02), (0.1, 0.03), (0.3, 0.05), (0.6, 0.02), (0.0, 0.0)]
)
@pytest.mark.parametrize("total", [600, 5000])
def test_the_interval_covers_the_final_value_at_all_looks_in_95_of_100_cases(total, lost, won):
    draw = torch.Generator().manual_seed(0)
    differences = torch.zeros(total)
    differences[: round(lost * total)] = -1.0
    differences[round(lost * total) : round((lost + won) * total)] = 1.0
    final, repetitions = float(differences.mean()), 1000
    covered = 0
    for _ in range(repetitions):
        shuffled = differences[torch.randperm(total, generator=draw)]
        looks = [250 * 2**i for i in range(6) if 250 * 2**i + 250 <= total]
        covered += all(abs(float(shuffled[:n].mean()) - final) <= look_half_width(shuffled[:n], total) for n in looks)
    assert covered >= 0.95 * repetitions


def comparison(total: int) -> tuple[Comparison, nn.Module]:
    dense, cut, split = seeded(mlp), seeded(mlp), samples((6,), total, 1)
    cut[0].weight.data[0].zero_()
    return Comparison(judge_all(dense, split, TASK, CPU)[0], split, TASK, CPU), cut


@pytest.mark.parametrize("total", [1, 249, 251, 700, 1900])
def test_a_comparison_ends_exactly_at_the_full_evaluation(total):
    compared, cut = comparison(total)
    full = float(judge_all(cut, compared.split, TASK, CPU)[0].double().mean())
    looks = []
    while not looks or not looks[-1].measured:
        looks.append(compared.advance(cut, seconds=0.0))
    assert looks[-1].score == full and looks[-1].half_width == 0.0
    assert looks[-1].change == pytest.approx(full - float(compared.dense.double().mean()), abs=1e-12)
    seen = [look.samples for look in looks]
    assert seen == sorted(seen) and all(look.total == total for look in looks)
    assert all(look.half_width > 0 and not look.measured for look in looks[:-1])
    assert all(abs(look.score - full) <= look.half_width for look in looks)


def test_an_estimate_stands_at_the_latest_look():
    compared, cut = comparison(3000)
    # batches of at most 500: 250 | 250 | 500 | 500, 500 | ...
    looks = [compared.advance(cut, 0.0) for _ in range(5)]
    assert [look.samples for look in looks] == [250, 500, 1000, 1000, 2000]
    assert looks[3] == looks[2] and compared.seen == 2000


def test_an_estimate_is_the_dense_score_moved_by_the_paired_difference():
    compared, cut = comparison(1000)
    look = compared.advance(cut, 0.0)
    index = compared.order[:250]
    change = (scored(cut, compared.split)[index] - compared.dense[index]).double().mean()
    assert look.change == pytest.approx(float(change), abs=1e-12)
    assert look.score == pytest.approx(float(compared.dense.double().mean() + change), abs=1e-12)


def test_enough_time_sees_everything_at_once():
    compared, cut = comparison(1900)
    assert compared.advance(cut, 60.0).measured
    assert compared.advance(cut, 60.0).measured  # and asking again costs nothing


def test_samples_come_in_a_random_order_that_is_the_same_every_time():
    one, two = comparison(500)[0], comparison(500)[0]
    assert torch.equal(one.order, two.order) and not torch.equal(one.order, torch.arange(500))
    assert torch.equal(one.order.sort().values, torch.arange(500))
