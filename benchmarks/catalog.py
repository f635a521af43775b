"""The benchmarks by name. A benchmark's module is imported when it is asked for: each needs packages of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from benchmarks.report import Report


@dataclass(frozen=True)
class Benchmark:
    """A module with a function `measure`, and what it measures, in the words of docs/measured.md.

    `rows` is a page of its own that shows the rows of the measurement, relative to docs/; empty where they stand there.
    """

    module: str
    about: str
    rows: str = ""

    def load(self) -> Callable[..., Report]:
        """The function that measures. What the module needs is imported now."""
        return import_module(self.module).measure


BENCHMARKS: dict[str, Benchmark] = {
    "healing": Benchmark(
        "benchmarks.healing",
        "Three recipes, each carried out with export and verification. `cnn`: `fashion_cnn`, 80 % of the weights by "
        "magnitude, five rounds of two epochs. `lenet`: `lenet_300_100`, 90 % of the weights by magnitude, five rounds "
        "of two epochs. `resnet`: `fashion_resnet`, 50 % of the channels by Taylor scores, three rounds of one epoch. "
        "Accuracy on the test split.",
    ),
    "repair": Benchmark(
        "benchmarks.repair",
        "Cut networks put right without labels and without training on the task: six cuts with each repair, the mean "
        "of three seeds, accuracy on 10 000 validation samples. Then 500 cuts by lot of `fashion_cnn` and "
        "`lenet_300_100` (weights or channels, magnitude or random, 5 to 97 %), each with a repair by lot.",
    ),
    "search": Benchmark(
        "benchmarks.search",
        "How much of each layer goes, by the search and by six other ways: uniform, global magnitude, ERK, LAMP, and "
        "at as many evaluations as the search had random level vectors and Optuna's TPE; all within one budget (5 % of "
        "the weights of `fashion_cnn` and `lenet_300_100`, half of the MACs of `fashion_resnet`), repaired by least "
        "squares and not trained, three seeds, accuracy on the test split. Then 27 % fewer MACs of `fashion_resnet` "
        "with the repair `block`, and 40 % fewer with three epochs of tuning. Needs `optuna`.",
    ),
    "latency": Benchmark(
        "benchmarks.latency",
        "A search for a share of the dense network's time, channels of `fashion_resnet`, repaired by least squares and "
        "not trained: what was asked, and what its cut takes, measured anew in turns with the dense network. One core.",
    ),
    "live": Benchmark(
        "benchmarks.live",
        "The Lab in Chromium: `fashion_cnn`, weights. From the release of the slider at a position that was not seen "
        "before until the page shows the new sizes, the first estimate of the accuracy, and the accuracy measured on "
        "10 000 samples; first with nothing else going on, then while a run of the same recipe trains.",
    ),
    "classroom": Benchmark(
        "benchmarks.classroom",
        "A class at one server: `fashion_cnn`, 60 people over the page's protocol, on the machine that serves them. "
        "Each moves the slider five times, every three seconds, to positions that nobody has seen, then looks until "
        "the accuracy is measured on 10 000 samples, and begins anew. First without a browser, then ten of the people "
        "in a Chromium; then both again, while a run trains and somebody asks for the slowest criterion. Before it 30 "
        "people, after it 100. Waits are those once all are there; those while people arrive stand apart. The server "
        "has two cores: where the machine has no others, browsers take their part of them. Needs a quarter of an "
        "hour.",
    ),
    "preview": Benchmark(
        "benchmarks.preview",
        "25 million weights in 50 layers, beside one call of `torch.nn.utils.prune.global_unstructured` whose zeros "
        "are counted in each layer. A position is the kept count of each layer, the cut and the sizes; the index is "
        "what is sorted once.",
    ),
    "calibration": Benchmark(
        "benchmarks.calibration",
        "Whether the 95 % intervals of estimated accuracies hold the accuracy of all samples: all sample models, five "
        "random orders of the samples, every layer and level, at every look.",
    ),
    "unbounded": Benchmark(
        "benchmarks.unbounded",
        "Whether the asymptotic 95 % intervals of scores without bounds hold the score of all samples: the cross "
        "entropy of two sample models, and the squared and the absolute error of a small regression that is trained "
        "for it; weights and channels, 20 random orders of the samples, every layer and level, at every look. Cells "
        "are estimated until their interval is a twentieth of the dense score.",
    ),
    "sensitivity": Benchmark(
        "benchmarks.sensitivity",
        "The sensitivity map beside the usual loop: copy the network, prune one layer, evaluate all samples from a "
        "DataLoader. 11 levels, 10 000 samples. Seconds include opening the model and evaluating the dense network; "
        "medians of three, and one loop.",
    ),
    "tuning": Benchmark(
        "benchmarks.tuning",
        "Optimiser steps a second of the fine-tuning of `fashion_cnn` with masks, beside the same without masks and "
        "beside the script of the tutorials, with images prepared one by one and with images made ready beforehand.",
    ),
    "ways": Benchmark(
        "benchmarks.ways_of_tuning",
        "How well each way of tuning heals a cut of 95 % of the weights by magnitude in one round, on 1 000 training "
        "images: 40 epochs of `fashion_cnn`, 20 of `lenet_300_100`, a learning rate of 0.03, otherwise as by default. "
        "Accuracy on the 10 000 test images, the mean of three seeds.",
    ),
    "durability": Benchmark(
        "benchmarks.durability",
        "Servers, the workers of their runs and the children of these are killed (SIGKILL) at random moments while "
        "runs go on. What is left is compared with undisturbed runs.",
    ),
    "siege": Benchmark(
        "benchmarks.under_siege",
        "The whole server, ten sessions on its page and eight runs, while its processes are killed (SIGKILL) at random "
        "moments and faults are carried out: a full disk (where one can be mounted), a clock that jumps, a row that "
        "cannot be read, a worker that takes too much memory, a long log. `--kills N` makes it short.",
    ),
    "mixed": Benchmark(
        "benchmarks.mixed_use",
        "Half an hour of twenty people who open, use and leave the Lab, Sensitivity, Compare, Search and Runs with six "
        "recipes in turn, over the page's protocol, while a run is asked for every 45 s. Memory, file handles and "
        "threads of the server and its workers: the median of the last third over that of the second.",
    ),
    "frames": Benchmark(
        "benchmarks.hostile_frames",
        "10 000 frames of eight kinds (noise, text, large ones, messages that no page sends, made-up links, values and "
        "components' messages, messages with bytes changed) at a real server, over connections of 150 frames each. "
        "After every 500 somebody else opens the page.",
    ),
    "hostile": Benchmark(
        "benchmarks.hostile",
        "Strangers' files: 2 000 of twenty families (damaged, of other types and kinds, with made-up names, headers "
        "and sizes, pickles that call or never end, archives that lie) scored as `score` does with `mlp_128`, on two "
        "processes at once; what is accepted is compared with what plain libraries read. Then 10 000 recipes of links "
        "with wrong fields and values, and 10 000 names. `python -m benchmarks.hostile --files 200` tries fewer files.",
    ),
    "ray": Benchmark(
        "benchmarks.cluster",
        "The Ray backend beside the processes of this machine: exact sensitivity maps, eight runs on two workers, and "
        "a run whose worker is killed.",
    ),
    "start": Benchmark("benchmarks.start", "From the server being up to what the first page shows, in Chromium."),
    "selection": Benchmark(
        "benchmarks.selection",
        "The properties of the selection (exact counts over ties and zeros, five dtypes, all scopes and amounts, N:M "
        "in every block, nothing that was pruned comes back) on 10 000 drawn cases each.",
    ),
    "surgery": Benchmark(
        "benchmarks.surgery",
        "2 000 networks that grow at random from a hundred kinds of blocks, and every granularity on each: every row "
        "lies in a group or is refused with a sentence; a random share of the units removed computes what the same "
        "units set to zero compute; random values in what reads or writes pruned units change no bit of the output; "
        "the file loads again.",
    ),
    "criteria": Benchmark(
        "benchmarks.criteria",
        "Validation accuracy (%) right after pruning, without fine-tuning, of every criterion with every setting of "
        "its own: mean over three calibration seeds ± a 95 % interval of the seeds (Student's t) and of the 10 000 "
        "samples. Single weights compete in the whole model with their scores as they are, channels within their "
        "layer. `wanda` and `optimal_brain_surgeon` are made for one layer at a time: in the whole model they compete "
        "beyond what their papers ask of them.",
    ),
    "literature": Benchmark(
        "benchmarks.literature",
        "LeNet-300-100 and Caffe's LeNet-5 on MNIST beside published results, test error after compression: mean and "
        "95 % interval (Student's t) over seeds chosen beforehand. Compression is the weights of the dense network "
        "over those that are not zero; biases are not counted, as in the papers, and have a column of their own. Each "
        "seed trains a network from scratch and prunes it meanwhile, on 55 000 of the training images with the answers "
        "of a convolutional network that was trained on the same ones; half of the images are warped, which most "
        "papers do not do. LeNet-5 loses channels first. Recipes were chosen with seed 0.",
    ),
    "zoo": Benchmark(
        "benchmarks.zoo",
        "Networks of transformers, timm, torchvision, ultralytics and plain torch, small and with weights by lot, each "
        "pruned by 30 % of its natural units without fine-tuning, and beside it by torch-pruning alone as its "
        "documentation uses it. A network counts as cut where it runs afterwards and its output has the same shape.",
        rows="reference/networks.md",
    ),
}
