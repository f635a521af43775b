"""Making a round's cut: values set to zero, repaired where the recipe says so, and what a person is told of it."""

from collections.abc import Generator

from pruning.events import Event, Masked, Repaired, Warned
from pruning.model.copying import deep_copy
from pruning.model.tensors import put_into
from pruning.model.units import apply_masks
from pruning.pipeline.one_shot import Decision
from pruning.repair import NoRepair
from pruning.run.context import RunContext
from pruning.run.state import CurrentRound


def cut_and_repaired(context: RunContext, current: CurrentRound) -> Generator[Event, None, None]:
    """Set the pruned values to zero; with a repair, measure that and put the network right."""
    cut, masks, known = current.cut, current.masks, current.repaired
    if isinstance(context.recipe.repair, NoRepair) or not masks:
        apply_masks(context.model, masks)
        return
    if known is not None:  # the whole amount at once, which has been repaired and told of
        put_into(context.model, known.tensors)
        yield from _said_of(known.reported)
        return
    before = deep_copy(context.model)
    apply_masks(context.model, masks)
    score = context.validated(cut.number, cut.done, cut.keep).score
    repaired = context.repaired(context.model, before, masks, cut.number, score)
    yield repaired
    yield from _said_of(repaired)


def _said_of(repaired: Repaired) -> Generator[Event, None, None]:
    """A word where the repair did not help, and once where it left layers as they are."""
    if not repaired.helped:
        yield Warned(
            f"round {repaired.round + 1}: the repair {repaired.repair} brought the network no nearer to the one "
            "before the cut, on inputs that it had not seen: the network is as the cut left it"
        )
    elif repaired.left and not repaired.round:
        name, why = next(iter(repaired.left.items()))
        others = f", and {len(repaired.left) - 1} others too" if len(repaired.left) > 1 else ""
        what, reason = name or "the network", why.partition(":")[0]
        yield Warned(f"the repair {repaired.repair} leaves {what} as it is, for {reason}{others}")


def masked_event(number: int, progress: float, decision: Decision) -> Masked:
    counts = decision.counts
    kept = {share.name: share.kept for share in counts.shares}
    return Masked(number, progress, counts.asked, counts.pruned, counts.units, kept, decision.values)


def report_masked(reported: Masked) -> Generator[Event, None, None]:
    """The event, and a warning where fewer units are pruned than were asked for."""
    yield reported
    if reported.pruned < reported.asked:
        yield Warned(
            f"round {reported.round + 1}: {reported.asked} units were asked to be pruned and {reported.pruned} were, "
            "because every layer keeps at least one"
        )
