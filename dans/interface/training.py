"""Training in one call: plans carried out, and the run that they give."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import structs

from baselines import assembly
from dans.data.graph import KnowledgeGraph
from dans.data.sources import load
from dans.errors import InputError, boolean, folder_or_file, listed
from dans.interface.planning import Choice, SamplerChoice, Stage, plan, with_default_loss
from dans.interface.run import Run
from dans.runs.build import probe
from dans.runs.grown_graph import features_as_in, is_of
from dans.runs.init_from import RUNS, folder
from dans.seeding import undisturbed
from dans.training.run_folder import RunFolder

log = logging.getLogger(__name__)


@undisturbed()
def train(
    data: Any = None,
    *,
    recipe: str | Path | None = None,
    encoder: str | None = None,
    decoder: str | None = None,
    sampler: SamplerChoice | None = None,
    loss: str | None = None,
    steps: int | None = None,
    pretrain_steps: int | None = None,
    dim: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
    init_from: Run | str | Path | None = None,
    features: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    loggers: Sequence[str] = (),
) -> Run:
    """Train a model of a knowledge graph, and return the run.

    Without a ``recipe``, that of a published data set and the decoder is taken, or for other
    triples an RGCN with options that suit most graphs. If neither ``recipe``, ``sampler``,
    ``loss`` nor ``init_from`` is given, nor an option of theirs, the loss is the setting
    ``sampled-softmax-self-loop``: a sampled softmax with fifteen uniform negatives and five of the
    control. A ``sampler`` continues from a pre-trained model: the model is pre-trained first, with
    uniform negatives, in the folder ``pretrain`` inside the run's, unless ``init_from`` names a
    trained run or ``pretrain_steps`` is 0. Torch's random state and number of threads are left as
    found.

    A setting changes more than a loss or a sampler, such as relations, filter and training:
    ``sampled-softmax`` is a setting, ``sampled_softmax`` a loss.

    Args:
        data: what ``dans.load`` returns or takes; None: the triples that the recipe names.
        recipe: a base such as ``umls-distmult``, with a setting as ``umls-distmult-self-loop`` or
            without; or a TOML file.
        encoder: ``rgcn`` (the default) or ``lookup``, a table of embeddings.
        decoder: ``distmult`` (the default), ``complex``, ``rotate``, ``transe``, ``rescal``,
            ``tucker`` or ``simple``.
        sampler: of negatives: a setting such as ``dans-filtered`` or ``nscaching``, a sampler with
            options as ``"uniform:k=5,filter=mask"``, several joined by ``+``, or a mapping, or
            list of mappings, of names and options. None: one run, with the negatives of the loss
            setting, or else those of the recipe, which are uniform.
        loss: a loss setting, which takes no sampler, such as ``sce`` (softmax over all entities) or
            ``sp`` (Stay Positive); or the loss over negatives, such as ``logistic``. None: for
            triples alone ``sampled-softmax-self-loop``, else that of the recipe or the sampler.
        steps: updates of the model; with a sampler, those after pre-training.
        pretrain_steps: updates in pre-training, with a sampler.
        dim: of the embeddings.
        batch: triples of a step.
        lr: learning rate; with a sampler, that after pre-training.
        seed: random seed; None: 0, or the option ``train.seed``.
        device: the device, by its name in torch.
        options: any other option of a recipe, by its full name: ``{"train.patience": 5}``. Those
            of the model (data, graph, encoder, decoder) hold for pre-training too.
        init_from: the trained run to continue from. With ``data`` that has further entities,
            relations or triples, such as ``run.grow`` gives, the rows of the run's are taken over
            by name, and new ones are drawn as in any training. Optimizers start anew, and loss and
            sampler are those given here.
        features: of the entities, by names of your choice: files, arrays, mappings by entity name
            or data frames, as ``KnowledgeGraph.with_features`` takes them, which a graph may have
            already. ``{"features.combine": "only"}`` in ``options`` puts them in place of the
            learned embeddings, beside which they are by default.
        out: folder of the run; None: the next free of ``runs/NAME/1``, ``runs/NAME/2``, …
        resume: continue with the run in ``out``, if there is one.
        loggers: ``mlflow`` or ``wandb``, beside the files that are always written.

    Raises:
        InputError: an option that is unknown, out of range or without effect.
        DivergedError: training reached values that are not finite.

    Example:
        >>> import dans
        >>> triples = [("ada", "knows", "bob"), ("bob", "knows", "cy"), ("cy", "knows", "ada")]
        >>> kg = dans.KnowledgeGraph.of(triples, valid=triples[:1])
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     run = dans.train(kg, steps=2, dim=4, out=f"{folder}/run")
        ...     answers = run.predict(head="ada", relation="knows", top=2)
        >>> len(answers)
        2
    """
    boolean("resume", resume)
    loggers = listed("loggers", loggers, "names")
    kg = data if data is None or isinstance(data, KnowledgeGraph) else load(data)
    if isinstance(init_from, Run) and init_from.which != "best":
        raise InputError("init_from: training starts from the best checkpoint, not from the last")
    start = init_from.path if isinstance(init_from, Run) else None
    if start is None and init_from is not None:
        start = folder_or_file("init_from", init_from)
    if features is not None:
        if kg is None:
            raise InputError("features: need data; or name files in features.table of the recipe")
        of = RunFolder(start) if start else None
        if of is not None and of.features.exists() and not is_of(of, kg):
            kg = features_as_in(of, kg, features)
        else:
            kg = kg.with_features(features)
    choice = Choice(
        recipe=None if recipe is None else str(recipe),
        encoder=encoder,
        decoder=decoder,
        sampler=sampler,
        loss=loss,
        steps=steps,
        pretrain_steps=pretrain_steps,
        dim=dim,
        batch=batch,
        lr=lr,
        seed=seed,
        device=device,
        options=options,
    )
    stages = plan(with_default_loss(choice, start), kg, start=start)
    if features is not None and stages[-1].config.features is None:
        raise InputError("features: the run to start from was trained without; leave them out")
    if out == "":
        raise InputError("out: expected the folder of a run, got ''")
    if out is None and resume:
        raise InputError("resume: needs out, the folder of the run to continue with")
    where = _numbered(stages[-1].name) if out is None else folder_or_file("out", out)
    try:
        pretrained = RunFolder(where).pretrained
        carry_out(stages, kg, where, pretrained=pretrained, resume=resume, loggers=loggers)
    except BaseException:
        if out is None:
            for made in (where, where.parent):
                with suppress(OSError):
                    made.rmdir()
        raise
    run = Run(where)
    if run.config.init_from and run.best_step == 0 and run.config.train.steps > 0:
        what = "no step improved on the model it started from, so this run equals it"
        log.warning("%s: %s; more steps, another lr or another sampler may help", where, what)
    return run


def carry_out(
    stages: Sequence[Stage],
    kg: KnowledgeGraph | None,
    where: Path,
    *,
    pretrained: Path | None = None,
    resume: bool = False,
    loggers: Sequence[str] = (),
) -> Any:
    """Train the runs of a plan, each unless it is finished; returns the last validation.

    Args:
        stages: from ``plan``.
        kg: the triples; None: those that the configurations name.
        where: the folder of the last run.
        pretrained: that of the run before it; None: its default folder under ``runs``.
        resume: continue with the run in the folder. Pre-training always does.
    """
    last = stages[-1]
    if len(stages) == 1:
        return assembly.train(last.config, where, kg=kg, resume=resume, loggers=loggers)
    first = stages[0]
    before = pretrained or folder(f"{first.kind}/{first.name}", first.config.train.seed)
    config = structs.replace(last.config, init_from=os.path.abspath(before))
    RunFolder(where).check(config, resume=resume)
    if not RunFolder(before).exists:
        # An option of the sampler that is refused is refused before pre-training.
        check_stage(last, kg)
    assembly.train(first.config, before, kg=kg, resume=True, loggers=loggers)
    return assembly.train(config, where, kg=kg, resume=resume, loggers=loggers)


def check_stage(stage: Stage, kg: KnowledgeGraph | None) -> None:
    """Build all that a stage needs, without training it and without notices."""
    graph = KnowledgeGraph.load(stage.config.data) if kg is None else kg
    config = structs.replace(stage.config, init_from="")
    probe(config, graph, assembly.OBJECTIVES, assembly.SAMPLERS)


def _numbered(name: str) -> Path:
    """The next free folder of a name, which is made."""
    parent = RUNS / name
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        try:
            (parent / str(number)).mkdir()
        except FileExistsError:
            number += 1
        else:
            return parent / str(number)
