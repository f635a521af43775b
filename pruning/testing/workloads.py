"""What every workload owes: a model with its data and its task."""

import torch

from pruning.evaluation.accuracy import Evaluator
from pruning.model.narrow_convolutions import right_gradients
from pruning.model.preparation import open_model
from pruning.workload import Batch, Split, Workload

CPU = torch.device("cpu")
SAMPLES = 16  # at most, of each split


class WorkloadContract:
    """What a workload owes besides what is refused with a sentence when a run begins.

    Say which `workload`, and pytest finds the rest. An exported file is verified in another process, and an interrupted
    run goes on in another one: so a model and its data have to be the same whenever they are made.
    """

    workload: Workload

    def test_a_run_can_begin_with_it(self) -> None:
        open_model(self.workload, CPU)

    def test_every_build_gives_the_same_weights(self) -> None:
        first = {name: tensor.clone() for name, tensor in self.workload.build().state_dict().items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)  # what is drawn in build() would be another now
            again = self.workload.build().state_dict()
        assert first.keys() == again.keys(), f"tensors came or went: {sorted(first.keys() ^ again.keys())}"
        for name, tensor in first.items():
            assert torch.equal(tensor, again[name]), f"{name} has other values each time: load trained weights"

    def test_a_sample_is_the_same_each_time_and_in_every_batch(self) -> None:
        for name, split in self._splits().items():
            index = torch.arange(_few(split))
            inputs, targets = split.batch(index, CPU)
            alone = [split.batch(index[at : at + 1], CPU) for at in reversed(range(len(index)))][::-1]
            again = torch.cat([each for each, _ in alone]), torch.cat([each for _, each in alone])
            assert torch.equal(inputs, again[0]), f"{name}: other inputs for the same samples, one by one"
            assert torch.equal(targets, again[1]), f"{name}: other targets for the same samples, one by one"

    def test_inputs_are_as_large_as_the_example(self) -> None:
        example = self.workload.example
        for name, split in self._splits().items():
            inputs, targets = split.batch(torch.arange(_few(split)), CPU)
            assert len(inputs) == len(targets) == _few(split), f"{name}: {len(inputs)} inputs, {len(targets)} targets"
            assert len(example) == 1 and inputs.shape[1:] == example.shape[1:] and inputs.dtype == example.dtype, (
                f"{name}: {inputs.dtype} {list(inputs.shape[1:])}, and the example is {example.dtype} "
                f"{list(example.shape)}: one input [1, *input]"
            )

    def test_what_a_network_overwrites_is_whole_in_the_next_batch(self) -> None:
        for name, split in self._splits().items():
            index = torch.arange(_few(split))
            inputs, targets = split.batch(index, CPU)
            before = inputs.clone(), targets.clone()
            inputs.zero_()
            targets.zero_()
            after = split.batch(index, CPU)
            assert torch.equal(before[0], after[0]) and torch.equal(before[1], after[1]), f"{name}: give out copies"

    def test_augmentation_draws_from_the_generator_that_it_is_given(self) -> None:
        first = self._augmented()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            again = self._augmented()
        assert torch.equal(first[0], again[0]), "train: other inputs for the same generator"
        assert torch.equal(first[1], again[1]), "train: other targets for the same generator"

    def test_the_task_gives_each_sample_a_score_in_the_range_of_its_metric(self) -> None:
        validation = Evaluator(self.workload.validation, self.workload.task, CPU)
        index = torch.arange(_few(self.workload.validation))
        model = open_model(self.workload, CPU)
        scores, _ = validation.evaluate_some(model, index)  # which checks them
        assert torch.equal(scores, validation.evaluate_some(model, index)[0]), "other scores for the same samples"

    def test_the_loss_is_one_finite_number_from_which_the_model_learns(self) -> None:
        model, train = open_model(self.workload, CPU), self.workload.train
        with torch.random.fork_rng(devices=[]), right_gradients(model):  # dropout may draw
            loss = self.workload.task.loss(model.train(), train.batch(torch.arange(_few(train)), CPU))
        assert loss.dim() == 0 and bool(loss.isfinite()), f"loss() gave {loss}"
        loss.backward()
        assert any(parameter.grad is not None for parameter in model.parameters()), "no gradient reaches the model"

    def test_checkpoints_have_the_tensors_of_the_model(self) -> None:
        own = {name: tensor.shape for name, tensor in self.workload.build().state_dict().items()}
        for name, make in self.workload.checkpoints.items():
            found = {key: tensor.shape for key, tensor in make().items()}
            differing = sorted(key for key in found.keys() | own.keys() if found.get(key) != own.get(key))
            assert not differing, f"checkpoint {name}: {', '.join(differing)} are not as in the model"

    def _splits(self) -> dict[str, Split]:
        return {"train": self.workload.train, "validation": self.workload.validation, "test": self.workload.test}

    def _augmented(self) -> Batch:
        train = self.workload.train
        return train.batch(torch.arange(_few(train)), CPU, torch.Generator().manual_seed(3))


def _few(split: Split) -> int:
    return min(SAMPLES, len(split))
