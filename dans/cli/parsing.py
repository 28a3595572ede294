"""Options that several commands have. Nothing heavy is imported: help is quick."""

import argparse
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from dans.config.reading import read_toml
from dans.config.recipes import DEFAULT, DEFAULT_LOSS, run_name
from dans.errors import DISTRIBUTION, LARGEST, InputError, did_you_mean, install_command, shown
from dans.training.loggers import ALWAYS, OPTIONAL

if TYPE_CHECKING:
    from dans.evaluation.candidate_sets import Restriction

T = TypeVar("T")

#: What recipes are expected to give and what papers have: a file for each table, KIND-TABLE.toml.
RESULTS = Path(__file__).resolve().parents[1] / "results"

#: The numbers of all recorded runs, in a checkout: a file for each kind, or several.
RECORDS = RESULTS.parents[1] / "scripts" / "results"

#: What the extra ``plots`` installs, by the name of its module.
PACKAGES = {"matplotlib": "matplotlib", "sklearn": "scikit-learn"}

#: How a setting of a recipe can be given.
OF_RECIPES = "for a recipe, a TOML file too"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are an ``InputError`` of one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise an ``InputError``."""
        sentence = " ".join(message.removeprefix("argument ").split())
        unknown = re.match(r"unrecognized arguments: --([\w-]+)", sentence)
        known = [name[2:] for action in self._actions for name in action.option_strings]
        hint = did_you_mean(unknown[1], known, "--{}".format) if unknown else ""
        raise InputError(sentence + (hint or "; --help lists what there is"))


def parser(description: str | None, *, prog: str | None = None) -> argparse.ArgumentParser:
    """A parser with a docstring as its description; it says how to install an extra here."""
    text = re.sub(
        rf"pip install '{DISTRIBUTION}\[([\w,]+)\]'",
        lambda found: install_command(found[1]),
        description or "",
    )
    form = argparse.RawDescriptionHelpFormatter
    return Parser(description=text, prog=prog, formatter_class=form)


def whole(least: int | None = None, most: int = LARGEST - 1) -> Callable[[str], int]:
    """The type of an option that is a whole number, of at least ``least`` and at most ``most``."""
    what = "a whole number" + ("" if least is None else f" of at least {least}")

    def parse(text: str) -> int:
        # Python refuses to read whole numbers of thousands of digits.
        fits = re.fullmatch(r"[+-]?[0-9]{1,100}", text)
        if not fits or (least is not None and int(text) < least):
            raise argparse.ArgumentTypeError(f"expected {what}, got {shown(text)}")
        if abs(int(text)) > most:
            bound = "below 2^63" if most == LARGEST - 1 else f"of at most {most}"
            message = f"expected a whole number {bound}, got {shown(text)}"
            raise argparse.ArgumentTypeError(message)
        return int(text)

    return parse


def add_run(
    parser: argparse.ArgumentParser,
    *,
    name: str = "run",
    nargs: str | None = None,
    metavar: str = "RUN_DIR",
) -> None:
    """Add the folder of a trained run, or several."""
    what = "folder of a trained run" + ", or of several" * (nargs in ("+", "*"))
    parser.add_argument(name, type=Path, nargs=nargs, metavar=metavar, help=what)
    parser.set_defaults(trained=name)


def add_extra_option(parser: argparse.ArgumentParser) -> None:
    """Add further triples and features of new entities, and how these are embedded."""
    extra = "triples of entities that training never saw, three columns; they are embedded by them"
    parser.add_argument("--extra-triples", type=Path, metavar="FILE", help=extra)
    features = "features of such entities, for the run's table NAME of features; may be repeated"
    parser.add_argument("--extra-features", action="append", metavar="NAME=FILE", help=features)
    embedded = (
        "how such entities are embedded: by the encoder, or as the mean of their neighbors, of "
    )
    embedded += "their queries, or of the whole table"
    kinds = ("encoder", "neighbors", "queries", "table")
    parser.add_argument(
        "--new-entities", choices=kinds, default="encoder", help=f"{embedded} (default: encoder)"
    )


def extension(args: argparse.Namespace) -> dict[str, Any]:
    """What `add_extra_option` added, as arguments; the files of features by the name of a table."""
    found: dict[str, str] = {}
    for one in args.extra_features or []:
        name, equals, file = one.partition("=")
        if not (name and equals and file):
            raise InputError(f"--extra-features: expected NAME=FILE, got {shown(one)}")
        if name in found:
            raise InputError(
                f"--extra-features: {name}: given twice; expected one file for a table"
            )
        found[name] = file
    names = ("extra_triples", "new_entities")
    return {"extra_features": found or None, **{name: getattr(args, name) for name in names}}


def check_runs(args: argparse.Namespace) -> None:
    """Refuse a file, or a mistyped folder, where a command takes the folder of a trained run."""
    given = getattr(args, getattr(args, "trained", ""), None) or []
    for path in given if isinstance(given, list) else [given]:
        if path.is_file():
            hint = f"; triples are given by --dataset {path}" if hasattr(args, "dataset") else ""
            raise InputError(f"{path} is a file, not a run's folder{hint}")
        if not path.exists() and (hint := did_you_mean_folder(path)):
            raise InputError(f"{path}: there is no such folder{hint}")


def did_you_mean_folder(path: Path) -> str:
    """The end of a message about a folder that is not there: one that is, if its name is close."""
    missing = [path, *path.parents]
    first = next((i for i, one in enumerate(missing) if one.exists()), 0) - 1
    if first < 0 or not missing[first + 1].is_dir():
        return ""
    wrong = missing[first]
    rest = path.relative_to(wrong)
    beside = [one.name for one in wrong.parent.iterdir() if (one / rest).is_dir()]
    return did_you_mean(wrong.name, beside, lambda name: str(wrong.parent / name / rest))


def missing_packages(*modules: str) -> str:
    """Which packages of the extra ``plots`` are missing and how to install them; "" if none is."""
    missing = [PACKAGES[module] for module in modules if find_spec(module) is None]
    return f"{' and '.join(missing)}, {install_command('plots')}" if missing else ""


def check_packages(*modules: str) -> None:
    """Refuse to begin a picture without the packages that draw it."""
    if missing := missing_packages(*modules):
        raise InputError(f"the picture needs {missing}")


def add_training_options(parser: argparse.ArgumentParser, *, kind: str) -> None:
    """Add the options of a command that trains a kind of run: those it lacks are None."""
    parser.set_defaults(kind=kind, usual_recipe="", sampler=None, pretrain_steps=None)
    add = parser.add_argument
    what = "a recipe, by name or file; a data set, by name; or a folder or a file of triples"
    add("what", nargs="?", metavar="WHAT", help=what)
    missing = "; its pre-trained run must be there already" if kind == "dans" else ""
    add("--recipe", metavar="NAME|FILE", help=f"a recipe, in place of WHAT{missing}")
    model = parser.add_argument_group("model, where WHAT is no recipe")
    model.add_argument("--encoder", metavar="NAME", help="rgcn or lookup (default: rgcn)")
    decoder = "distmult, complex, rotate, transe, ... (default: distmult)"
    model.add_argument("--decoder", metavar="NAME", help=decoder)
    group = parser.add_argument_group("training")
    add = group.add_argument
    if kind == "dans":
        sampler = f"of negatives: a setting of dans/recipes/samplers; {OF_RECIPES}; for data, also"
        others = "for a recipe file, what it says; for data, none: a sampled softmax"
        sampler += " SAMPLER:OPTION=VALUE,..., several joined by +"
        usual = f"{sampler} (default for a recipe: {DEFAULT}; {others})"
        add("--sampler", metavar="NAME|FILE", help=usual)
    setting = f"a setting of dans/recipes/losses, such as sce; {OF_RECIPES}"
    plain = "the loss over negatives, such as logistic"
    losses = {
        "baselines": f"{setting} (default: that in WHAT)",
        "pretrain": f"{plain} (default: the recipe's)",
        "dans": f"{setting}; or {plain} (default: the recipe's; for data, {DEFAULT_LOSS})",
    }
    add("--loss", metavar="NAME", help=losses[kind])
    own = "(default: the recipe's)"
    add("--dim", type=whole(1), metavar="N", help=f"dimension of the embeddings {own}")
    add("--steps", type=whole(), metavar="N", help=f"updates of the model {own}")
    if kind == "dans":
        first = "updates of the model in pre-training, which a sampler continues from"
        add("--pretrain-steps", type=whole(), metavar="N", help=first)
    add("--batch", type=whole(), metavar="N", help=f"triples of a step {own}")
    add("--lr", type=float, metavar="X", help=f"learning rate {own}")
    add("--seed", type=whole(), help="random seed (default: the recipe's, or 0)")
    device = "the device, by its name in torch (default: the recipe's, or cpu)"
    add("--device", help=device)
    start = "continue from a trained run; its triples may have grown (names are matched); loss and "
    start += "sampler are those of this command"
    add("--init-from", metavar="RUN", help=start)
    every = "change any option of the recipe, such as train.patience=5; may be repeated"
    add("--set", action="append", default=[], metavar="KEY=VALUE", help=every)
    group = parser.add_argument_group("run")
    without = "; without a sampler: runs/baselines/NAME/seedN" if kind == "dans" else ""
    out = f"folder of the run (default: runs/{kind}/NAME/seedN{without})"
    group.add_argument("--out", type=Path, metavar="DIR", help=out)
    resume = "continue with the run in the folder, if there is one"
    group.add_argument("--resume", action="store_true", help=resume)
    add_logger_option(group)
    add_data_options(parser.add_argument_group("triples of your own"))


def add_data_options(group: argparse._ArgumentGroup) -> None:
    """Add how a file of triples is read and split: what is not given is None."""
    add = group.add_argument
    split = "shares of train, valid and test where there are no splits (default: .8,.1,.1)"
    add("--split", type=shares, metavar="A,B,C", help=split)
    leakage = "avoid: all triples between two entities are in one split (default: allow)"
    add("--inverse-leakage", choices=("allow", "avoid"), help=leakage)
    columns = "columns of head, relation and tail, by name, or by position from 0"
    add("--columns", type=places, metavar="H,R,T", help=columns)
    delimiter = "between columns, such as ';' or tab (default: the one that fits)"
    add("--delimiter", type=lambda text: "\t" if text == "tab" else text, help=delimiter)
    header = "whether the first line names the columns (default: whether it looks so)"
    add("--header", action=argparse.BooleanOptionalAction, help=header)
    labelled = "splits of a folder whose lines have a fourth column, 1 for true and -1 for false"
    add("--labelled", type=lambda text: text.split(","), metavar="SPLIT,...", help=labelled)
    for option, what in (("literals", "literal"), ("blank-nodes", "blank node")):
        rdf = f"keep or drop triples of RDF with a {what} (default: keep)"
        add(f"--{option}", choices=("keep", "drop"), help=rdf)


def places(text: str) -> list[str | int]:
    """The type of an option that is columns, by name or position.

    Example:
        >>> places("subject,predicate,object"), places("0,2,1")
        (['subject', 'predicate', 'object'], [0, 2, 1])
    """
    return [int(part) if re.fullmatch("[0-9]{1,9}", part) else part for part in text.split(",")]


def shares(text: str) -> tuple[float, ...]:
    """The type of an option that is three numbers.

    Example:
        >>> shares(".8,.1,.1")
        (0.8, 0.1, 0.1)
    """
    parts = text.split(",")
    if len(parts) != 3 or not all(re.fullmatch(r"[0-9]*\.?[0-9]+", part) for part in parts):
        raise argparse.ArgumentTypeError(f"expected three numbers as .8,.1,.1, got {shown(text)}")
    return tuple(map(float, parts))


def add_logger_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--logger``, and its old spelling ``--track``."""
    parser.add_argument(
        "--logger",
        "--track",
        dest="loggers",
        action="append",
        default=[],
        metavar="NAME",
        help=f"log the run's metrics to {' or '.join(OPTIONAL)} too; may be repeated "
        f"({' and '.join(ALWAYS)} are always written)",
    )


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``: which checkpoint of a trained run."""
    parser.add_argument(
        "--model",
        choices=("best", "last"),
        default="best",
        help="the checkpoint best on validation, or the last one (default: best)",
    )


def add_join_option(
    parser: argparse.ArgumentParser, several: str = "several runs answer as one; not needed"
) -> None:
    """Add ``--ensemble``, and ``--join``: what is averaged; the names of ``ensemble.Join``."""
    parser.add_argument("--ensemble", action="store_true", help=several)
    parser.add_argument(
        "--join",
        choices=("ranks", "z-scores", "softmax", "probabilities"),
        help="what is averaged over several runs (default: probabilities where each has a "
        "calibration on labelled lines, else z-scores)",
    )


def check_ensemble(args: argparse.Namespace) -> None:
    """Refuse ``--ensemble`` beside one run, where several answer as one anyway."""
    if args.ensemble and len(args.runs) < 2:
        raise InputError("--ensemble: no effect on one run; name two or more")


def add_memory_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--memory-budget``, for commands that rank."""
    parser.add_argument(
        "--memory-budget",
        default="",
        metavar="SIZE",
        help="memory that scores may take, as 200MB (default: as in training, or a quarter of the "
        "free)",
    )


def add_among_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--among`` and the files of types: what restricts the candidates."""
    add = parser.add_argument
    what = "what is ranked as head or tail: domain-range, the entities seen in training at that "
    what += "place of the relation; type:NAME; a file of names, one a line; or all"
    add("--among", metavar="WHAT", help=what)
    types = "a file with entity, tab, type on each line: for type:NAME, or domain-range by type"
    add("--entity-types", metavar="FILE", help=types)
    domains = "for domain-range by type, in place of the types seen in training: a file with "
    domains += "relation, tab, type of its domain, tab, type of its range on each line"
    add("--relation-types", metavar="FILE", help=domains)


def restriction(args: argparse.Namespace) -> "Restriction | None":
    """What the options of ``add_among_options`` say; None where none is given."""
    from dans.evaluation.candidate_sets import Restriction

    if args.among is not None:
        return Restriction(args.among, args.entity_types, args.relation_types)
    refuse(args, "no effect without --among", *AMONG)
    return None


#: Options that restrict the candidates.
AMONG = ("among", "entity_types", "relation_types")

#: Values of options that are as good as none.
USUAL = (None, False, 0, "all", "refuse", "encoder", "rank")


def refuse(args: argparse.Namespace, reason: str, *names: str) -> None:
    """Refuse options that are given and have no effect, by the names that a user types."""
    for name in names:
        # By type too: 0.0 is no False.
        given = type(getattr(args, name)), getattr(args, name)
        if given not in [(type(usual), usual) for usual in USUAL]:
            shown_as = getattr(args, name) if name == "form" else name.replace("_", "-")
            raise InputError(f"--{shown_as}: {reason}; leave it out")


def matching(named: Mapping[str, T], pattern: str) -> dict[str, T]:
    """The items whose name matches the pattern of ``--match``."""
    found = {name: value for name, value in named.items() if fnmatch(name, pattern)}
    if not found:
        known = ", ".join(sorted(named)) or "none"
        raise InputError(f"--match: {shown(pattern)} matches no name; known: {known}")
    return found


def records(kind: str, section: str) -> dict[str, dict[str, Any]]:
    """What the tables of results hold for a kind of run, by the runs' names.

    A table holds ``[expected.BASE]`` and ``[paper.BASE]``, by setting; ``base`` is the base alone.
    A number by itself is the value of the metric that stands at the head of the file, and so are
    tolerance, seeds and commit.
    """
    found = {}
    for path in sorted(RESULTS.glob(f"{kind}-*.toml")):
        plain = read_toml(path)
        head = {key: value for key, value in plain.items() if not isinstance(value, Mapping)}
        for base, settings in plain.get(section, {}).items():
            for setting, its in settings.items():
                numbers = its if isinstance(its, Mapping) else {"value": its}
                name = run_name(base, "" if setting == "base" else setting)
                found[name] = {**head, **numbers}
    return found
