"""Inspection of the samplers of trained runs, and of others on the same model or on triples."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dans.analysis.sampler_statistics import Inspection, inspect, members, warm_up
from dans.config.recipes import component
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.registry import choose
from dans.runs.build import Samplers, build_member
from dans.runs.train import restore
from dans.samplers import SAMPLERS
from dans.seeding import seed_everything, undisturbed
from dans.training.checkpoint_store import Which
from dans.training.run_folder import RunFolder


@undisturbed()
def inspect_run(
    where: Path, *, which: Which = "last", triples: int = 1000, samplers: Samplers = SAMPLERS
) -> dict[str, Any]:
    """Statistics of a run's sampler, also written to the run's ``sampler.json``.

    Of the last checkpoint by default: the best one may be that of step 0, where the sampler is
    untrained.

    Returns:
        The numbers of ``dans.analysis.sampler_statistics.inspect``; those of each of the
        ``members`` of a mixture; and ``seconds_per_step`` of the run.
    """
    trained = restore(where, which=which, samplers=samplers)
    parts = members(trained.sampler, [part.name for part in trained.config.sampler])
    numbers_of = partial(inspect, trained.kg, positives=trained.positives, triples=triples)
    last = RunFolder(where).metrics.read()[-1]
    content: dict[str, Any] = {"model": which, "step": trained.step}
    content |= {"seed": trained.config.train.seed, **numbers_of(trained.sampler).numbers}
    content["seconds_per_step"] = last["seconds"] / last["step"] if last["step"] else None
    if len(parts) > 1:
        content["members"] = {name: numbers_of(part).numbers for name, part in parts.items()}
    RunFolder(where).write_json("sampler.json", content)
    return content


@undisturbed()
def compare_samplers(
    where: Path,
    given: Sequence[str],
    *,
    which: Which = "last",
    triples: int = 1000,
    passes: int = 3,
    samplers: Samplers = SAMPLERS,
) -> dict[str, Inspection]:
    """Statistics of a run's own samplers, as trained, and of others on the run's model.

    Args:
        given: the others, as ``dans.config.recipes.component`` reads them; adaptive ones are first
            trained against the frozen model (``dans.analysis.sampler_statistics.warm_up``).
        which: the run's best or its last checkpoint.
        triples: training triples to draw negatives for.
        passes: of the warm-up over the training triples; 0 inspects them untrained.

    Returns:
        By name, as in ``uniform (run)`` for the run's own, and ``nscaching (3 passes)``.

    Raises:
        InputError: no such run, a sampler that cannot be built, or a negative number of passes.
    """
    trained = restore(where, which=which, samplers=samplers)
    kg, dim, seed = trained.kg, trained.model.encoder.dim, trained.config.train.seed
    own = members(trained.sampler, [part.name for part in trained.config.sampler])
    found = {f"{name} (run)": sampler for name, sampler in own.items()}
    learnt = f" ({passes} pass{'' if passes == 1 else 'es'})"
    for text in given:
        seed_everything(seed)
        made = build_member(component(text), kg, dim, samplers, where=f"--sampler {text}")
        made.to(trained.entities.device)
        if made.adaptive:
            warm_up(kg, made, trained.positives, passes=passes, seed=seed)
        found[f"{text}{learnt}" if made.adaptive else text] = made
    return {
        name: inspect(kg, sampler, trained.positives, triples=triples)
        for name, sampler in found.items()
    }


@undisturbed()
def compare_without_model(
    data: str, given: Sequence[str], *, triples: int = 1000
) -> dict[str, Inspection]:
    """Statistics of samplers that need no model, on the triples of a data set or folder.

    Raises:
        InputError: no such data, no sampler, one that cannot be built, or one that needs a model.
    """
    kg, found = KnowledgeGraph.load(data), {}
    known = ", ".join(sorted(name for name, kind in SAMPLERS.items() if not kind.adaptive))
    if not given:
        raise InputError(f"--sampler: expected at least one; known: {known}")
    positives = partial(Positives.of_ids, num_entities=kg.num_entities)
    for text in given:
        part, where = component(text), f"--sampler {text}"
        if choose(SAMPLERS, part.name, where=where).adaptive:
            raise InputError(
                f"{where}: looks at the model, so it needs the folder of a run; "
                f"on triples alone: {known}"
            )
        # Without embeddings there is no dimension; 1 stands in where a constructor takes it.
        sampler = build_member(part, kg, 1, where=where)
        found[text] = inspect(kg, sampler, positives, triples=triples)
    return found
