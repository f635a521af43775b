"""`models`: which models there are, from their cards."""

import json

from rich.console import Console

from pruning.cli.catalogue import Catalogue
from pruning.cli.console import table
from pruning.reporting.formatting import count, percent, si


def models(catalogue: Catalogue, as_json: bool) -> None:
    cards = {name: catalogue.card(name) for name in catalogue.workloads}
    if as_json:
        fields = ("data", "parameters", "macs", "test_accuracy", "validation_accuracy")
        print(json.dumps([{"name": name, **{f: getattr(card, f) for f in fields}} for name, card in cards.items()]))
        return
    console = Console()
    made = table("model", "parameters", "MACs", "accuracy, test", "accuracy, validation")
    for name, card in cards.items():
        scores = percent(card.test_accuracy, 2), percent(card.validation_accuracy, 2)
        made.add_row(name, count(card.parameters), si(card.macs), *scores)
    console.print(made)
    for data in dict.fromkeys(card.data for card in cards.values()):
        names = ", ".join(name for name, card in cards.items() if card.data == data)
        console.print(f"{names}: {data}", markup=False, highlight=False)
