"""The configuration of a run: frozen structs, parsed strictly, without torch.

``RunConfig.parse`` turns a recipe into these structs and refuses unknown keys; ``RunConfig.plain``
turns them back. ``dans.registry.build`` checks the options of a component (an encoder, a loss, …)
against its constructor.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, structs

from dans.config.old_names import renamed_options
from dans.config.reading import convert, to_python
from dans.config.selection import RESTRICTED, SAMPLED, Selection
from dans.errors import LARGE, InputError, number, shown
from dans.memory import stated

#: The learning rate over a run.
Schedule = Literal["constant", "cosine", "linear", "plateau"]

#: Numbers with limits.
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Fanout = Annotated[int, Meta(ge=-1)]
NotNegative = Annotated[float, Meta(ge=0, le=LARGE)]
Share = Annotated[float, Meta(gt=0, le=1)]
Beta = Annotated[float, Meta(ge=0, lt=1)]

#: Among what a right answer is ranked: all entities, some drawn, or those given with the data set.
Candidates = Positive | Literal["all", "given"]

#: What a table of features holds, how its numbers are scaled, how it is joined to learned rows.
FeatureKind = Literal["numbers", "categories", "embeddings"]
FeatureScale = Literal["auto", "standard", "unit", "none"]
Combine = Literal["add", "concat", "gate", "only"]

#: Sections that may be given as a name alone.
COMPONENTS = ("encoder", "decoder", "objective", "loss")

#: The sections of which each option can be given alone.
SECTIONS = (*COMPONENTS, "features", "graph", "train", "evaluation", "phase")

#: Sections of a recipe with the results of the recipe and of a paper; they are not configuration.
RECORDS = ("expected", "paper")


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """Options by name; ``convert`` refuses those not declared and checks types and limits."""


def check_numbers(section: Section) -> None:
    """Refuse numbers that are too small to have an effect in 32-bit floats."""
    for name in section.__struct_fields__:
        if isinstance(value := getattr(section, name), float):
            number(name, value)


class Component(Section, frozen=True):
    """A class by its name, and options of its constructor."""

    name: str
    options: dict[str, Any] = {}


class GraphConfig(Section, frozen=True):
    """How the messages of an encoder are made from triples."""

    #: the normaliser: ``relation`` (Eq. 1 of DANS), ``node`` (DGL's example) or ``code`` (the
    #: published program)
    norm: Literal["relation", "node", "code"] = "relation"
    #: share of the training triples that send messages, sampled anew in each training step
    sample: Share = 1.0
    #: neighbor sampling: in each layer, the first layer first, the most messages that an entity
    #: receives in a training step, drawn anew for the entities that the step needs; 0 or -1: all.
    #: By default all entities are embedded in each step, from all their messages
    fanout: tuple[Fanout, ...] = ()
    #: leave the triples of the batch out of the messages
    hold_out: bool = True
    #: the largest share of the training triples that a batch may leave out; ``train.batch`` is
    #: made smaller where it would be more, since an encoder without messages learns nothing
    hold_out_share: Share = 0.25

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.fanout and self.sample != 1:
            raise InputError(
                "fanout: cannot be combined with sample; leave one out, or set sample = 1"
            )


class TrainConfig(Section, frozen=True):
    """How a model is trained."""

    #: updates of the model
    steps: Count = 1000
    #: triples (or queries) per step, at most all of them
    batch: Positive = 1000
    #: what a batch consists of: ``triples``, or for objectives that compare all entities
    #: ``queries``, each with all triples that answer it
    batch_by: Literal["triples", "queries"] = "triples"
    #: which entities a step encodes: ``all``, or ``some``, those of its triples and negatives.
    #: ``auto`` is ``some`` for graphs of more than 100,000 entities, where that costs less and the
    #: sampler can say which it needs
    encode: Literal["auto", "all", "some"] = "auto"
    #: the optimizer of the model; all but ``adam`` update only the rows that a step used, and
    #: ``mean_adagrad`` keeps one number for each of them
    optimizer: Literal["adam", "adagrad", "mean_adagrad", "lazy_adam"] = "adam"
    #: the learning rate
    lr: NotNegative = 1e-3
    #: that of the encoder's layers, as a factor of ``lr``: tables of embeddings take a larger one
    layer_lr: NotNegative = 1.0
    #: of ``adam`` and ``lazy_adam``
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    #: initial sum of squared gradients of ``adagrad`` and ``mean_adagrad``
    accumulator: NotNegative = 0.0
    #: the learning rate over the run
    schedule: Schedule = "constant"
    #: ``plateau`` multiplies the learning rate by this …
    decay: Share = 0.95
    #: … after more validations than this without a better selection metric
    decay_patience: Count = 5
    #: largest norm of the gradient of the model; 0: no clipping
    clip: NotNegative = 1.0
    #: weight of mean e² + mean r² over the encoder's output and the relation table
    l2: NotNegative = 0.0
    #: random seed
    seed: Count = 0
    #: steps between validations; each writes a checkpoint
    validate_every: Positive = 100
    #: selection metric of the best checkpoint: a metric of the filtered ranking, such as ``mrr``,
    #: ``hits@10`` or ``mean_rank``, over one side as ``tails.hits@10``; or one of labelled lines,
    #: where the data set has such, as ``nll`` or ``auc``
    select: str = "mrr"
    #: validations without a better selection metric before stopping; 0: no early stopping
    patience: Count = 0
    #: threads of torch; 0: torch's default. One is faster for graphs like UMLS
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    #: the device, by its name in torch
    device: str = "cpu"
    #: memory for validation and for scoring all entities, beside the model and its embeddings:
    #: bytes, or a size such as ``200MB`` or ``1GiB``; empty or 0: a quarter of the free memory. No
    #: result depends on it
    memory_budget: str | int = ""
    #: write the negatives of every step to ``negatives`` in the run folder
    log_negatives: bool = False

    def __post_init__(self) -> None:
        stated(self.memory_budget)
        check_numbers(self)
        Selection(self.select)
        plateau = (self.schedule == "plateau", 'schedule = "plateau"')
        needs = {
            "accumulator": ("adagrad" in self.optimizer, 'optimizer = "adagrad"'),
            "betas": ("adam" in self.optimizer, 'optimizer = "adam" or "lazy_adam"'),
            "decay": plateau,
            "decay_patience": plateau,
        }
        defaults = dict(zip(self.__struct_fields__, self.__struct_defaults__, strict=True))
        for name, (met, what) in needs.items():
            if not met and getattr(self, name) != defaults[name]:
                raise InputError(f"{name}: has no effect without {what}; leave it out")


#: What restricts no candidates; what restricts them to the entities seen at their place, or of the
#: types given for it; and what the name of a type follows.
ALL, DOMAIN_RANGE, TYPE = "all", "domain-range", "type:"


def check_among(among: str, entity_types: bool, relation_types: bool) -> None:
    """Refuse files of types without effect on a restriction, and types without their file."""
    typed = among.startswith(TYPE)
    if entity_types and not (typed or among == DOMAIN_RANGE):
        wanted = f"{DOMAIN_RANGE} or {TYPE}NAME"
        raise InputError(f"among: types of entities have an effect on {wanted} alone")
    if relation_types and among != DOMAIN_RANGE:
        raise InputError(f"among: types of relations have an effect on {DOMAIN_RANGE} alone")
    if not entity_types and (typed or relation_types):
        raise InputError("among: the types of entities are missing; expected a file of them")


class EvaluationConfig(Section, frozen=True):
    """How the validation triples are ranked in training."""

    #: among what each right answer is ranked: ``all`` entities; so many drawn for each query, which
    #: are no known answers; or those ``given`` with the data set. The MRR among some of them is
    #: higher than among all, and is named ``sampled_mrr``
    candidates: Candidates = "all"
    #: draw candidates from the domain or the range of the relation: the entities that are heads or
    #: tails of its training triples
    types: bool = False
    #: seed of the candidates and of the triples that are drawn, the same for every run
    seed: Count = 0
    #: rank at most that many validation triples, drawn by the seed; 0: all
    most: Count = 0
    #: restrict the candidates, in training and by default in ``dans evaluate`` of the run: to
    #: ``domain-range``, the entities seen in training at that place of the relation; to
    #: ``type:NAME``; or to the names in a file, one a line. The right answer is always a
    #: candidate, and the MRR is named ``restricted_mrr``. Empty or ``all``: all entities
    among: str = ""
    #: a file of entity, tab, type, for ``type:NAME``; with it ``domain-range`` is by type
    entity_types: str = ""
    #: a file of relation, type of its domain, type of its range, by tabs, for ``domain-range``
    relation_types: str = ""

    def __post_init__(self) -> None:
        drawn = isinstance(self.candidates, int)
        if self.types and not drawn:
            raise InputError("types: has no effect unless candidates are drawn; leave it out")
        if self.seed and not (drawn or self.most):
            raise InputError("seed: has no effect unless something is drawn; leave it out")
        check_among(self.among, bool(self.entity_types), bool(self.relation_types))
        if self.among not in ("", ALL) and self.candidates != "all":
            raise InputError("among: not together with candidates, which are drawn or given")


class PhaseConfig(Section, frozen=True):
    """How one phase of a sampler is trained."""

    #: the learning rate
    lr: NotNegative = 1e-3
    #: of Adam
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    #: triples per update, the first of the batch; 0: all of it
    batch: Count = 0
    #: update once on each part of the batch before the model's step, as the published DANS program
    #: does, instead of on the first part alone
    sweep: bool = False

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.sweep and not self.batch:
            raise InputError("sweep: needs a batch to sweep in parts of; set batch too")


class FeatureTable(Section, frozen=True):
    """Features of entities in one file."""

    #: ``.csv``, ``.tsv`` or ``.parquet``, whose first column has the names of entities; or
    #: ``.npy``, an array with a row for each entity in the order of the graph, or of ``names``
    file: str
    #: ``numbers``; ``categories``, a column for each, of which an entity may have several, in lines
    #: of its own; ``embeddings``, such as those of texts, rows that are whole or missing
    kind: FeatureKind = "numbers"
    #: a file with a name on each line, for the rows of an ``.npy``
    names: str = ""
    #: the columns to take, by name; by default all but that of names
    columns: tuple[str, ...] = ()
    #: whether the first line of a text table names its columns; else they are called 1, 2, …
    header: bool = True
    #: ``standard``: mean 0 and deviation 1 over the entities of training triples; ``unit``: each
    #: row has length 1; ``none``; ``auto``: numbers are ``standard`` and embeddings ``none``
    scale: FeatureScale = "auto"


class FeaturesConfig(Section, frozen=True):
    """How features of entities enter the encoder, and where they are from."""

    #: what a projection of the features is to the learned row of an entity: ``add``, added;
    #: ``concat``, concatenated, then mapped to the width of a row; ``gate``, mixed with it by a
    #: gate for each number; ``only``, in its place
    combine: Combine = "gate"
    #: width of a hidden layer of the projection; 0: it is linear
    hidden: Count = 0
    #: the files, each by a name of your choice; in Python features may be given instead
    table: dict[str, FeatureTable] = {}


class RunConfig(Section, frozen=True):
    """The configuration of a run."""

    #: the triples: a data set's name, a folder, a file, or a card
    data: str
    #: computes the embeddings of entities
    encoder: Component
    #: scores triples
    decoder: Component
    #: what is minimised; in ``dans``, a loss over negatives of samplers
    objective: Component = Component("negative_sampling")
    #: the loss of an objective with negatives
    loss: Component | None = None
    #: the samplers of negatives, whose negatives are concatenated
    sampler: tuple[Component, ...] = ()
    #: terms added to the objective
    regularizer: tuple[Component, ...] = ()
    #: features of entities, beside or in place of the learned rows; none by default
    features: FeaturesConfig | None = None
    #: how messages are made from triples
    graph: GraphConfig = GraphConfig()
    #: how the model is trained
    train: TrainConfig = TrainConfig()
    #: how the validation triples are ranked
    evaluation: EvaluationConfig = EvaluationConfig()
    #: by the name of a sampler's phase, how it is trained
    phase: dict[str, PhaseConfig] = {}
    #: the run whose weights initialise this one, such as ``pretrain/umls-distmult``; empty: none
    init_from: str = ""

    #: The sections that a run takes over from the run it is initialised from.
    INHERITED: ClassVar = ("data", "features", "graph", "encoder", "decoder")

    @classmethod
    def parse(cls, plain: Mapping[str, Any], *, where: str = "") -> "RunConfig":
        """The configuration of a recipe or ``config.json``, given as nested plain data.

        Example:
            >>> RunConfig.parse({"train": {"learning_rate": 0.001}})
            Traceback (most recent call last):
            dans.errors.InputError: train.learning_rate: unknown option; known: steps, ...
        """
        plain = renamed_options(to_python(plain))
        where = f"{where}: " if where else ""
        sections = {
            key: _opened(key, value, where) for key, value in plain.items() if key not in RECORDS
        }
        return convert(sections, cls, where)

    def plain(self) -> dict[str, Any]:
        """The configuration as nested plain data, such that ``parse(plain())`` equals it."""
        sections = {key: _closed(value) for key, value in structs.asdict(self).items()}
        return {key: value for key, value in sections.items() if value not in ("", {}, [], None)}

    @property
    def selection_metric(self) -> str:
        """The name in logs of the metric by which checkpoints are selected."""
        of = Selection(self.train.select)
        sampled = self.evaluation.candidates != "all"
        restricted = self.evaluation.among not in ("", ALL)
        prefix = SAMPLED if sampled else RESTRICTED if restricted else ""
        side = f"{of.section}." * (of.metric != of.name)
        return f"{side}{prefix * (not of.labelled)}{of.metric}"

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with some options of ``train`` changed."""
        train = convert({**structs.asdict(self.train), **changes}, TrainConfig, path="train")
        return structs.replace(self, train=train)


def _opened(key: str, value: Any, where: str) -> Any:
    """A section of a recipe, with components as name and options."""
    if key in ("sampler", "regularizer") and isinstance(value, (list, tuple)):
        return [_component(part, f"{where}{key}.{i}") for i, part in enumerate(value)]
    if key not in COMPONENTS:
        return value
    # TOML has no null: a recipe drops a loss that it inherits by an empty string.
    dropped = key == "loss" and value in (None, "")
    return None if dropped else _component(value, f"{where}{key}")


def _component(value: Any, place: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, Mapping):
        raise InputError(f"{place}: expected a name or a section, got {shown(value)}")
    options = {key: _closed(part) for key, part in value.items() if key != "name"}
    return {"name": value["name"], "options": options} if "name" in value else {"options": options}


def _closed(value: Any) -> Any:
    """A copy of a value as plain data, with a component as one section."""
    if isinstance(value, Component):
        return {"name": value.name, **_closed(value.options)}
    if isinstance(value, Struct):
        value = structs.asdict(value)
    if isinstance(value, Mapping):
        return {key: _closed(item) for key, item in value.items()}
    return [_closed(item) for item in value] if isinstance(value, (list, tuple)) else value
