"""Recipes: TOML files as plain data, settings combined with them, and what is set over them."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any

from dans.config import old_names
from dans.config.reading import MOST_DEPTH, TooLargeError, parse_toml, read_toml
from dans.config.schema import COMPONENTS, SECTIONS, Component, RunConfig
from dans.errors import InputError, did_you_mean, shown

#: Where the package's own recipes lie: ``bases``, and the settings that combine with them.
RECIPES = Path(__file__).resolve().parents[1] / "recipes"

#: The commands that train, by kind of run.
COMMANDS = {"pretrain": "pretrain", "dans": "train", "baselines": "baseline"}

#: The folder of the settings of a kind of run; a pre-training is a base alone.
SETTINGS = {"dans": "samplers", "baselines": "losses"}

#: What a command calls a setting of each folder: the word of its option and of messages.
NOUNS = {"samplers": "sampler", "losses": "loss"}

#: The sampler setting of a base of our own where none is named. Runs bear the base's name alone.
DEFAULT = "dans"

#: The loss setting of triples of one's own where neither a sampler nor a loss is named.
DEFAULT_LOSS = "sampled-softmax-self-loop"

#: Names that an error lists in full, which all sampler settings are.
LISTED = 40


@dataclass(frozen=True)
class Recipe:
    """A base, and the sampler or loss setting that is combined with it.

    A base holds all of a run. A setting holds what it changes, on any base; what it changes on one
    base alone stands there, as ``[samplers.NAME]`` or ``[losses.NAME]``. Both may extend another
    file of their folder, whose changes come first. ``kind`` is a value of ``SETTINGS``.
    """

    base: Path
    setting: Path | None = None
    kind: str = "samplers"

    @property
    def stem(self) -> str:
        """The name of its runs, such as ``umls-distmult-self-loop``."""
        return run_name(self.base.stem, self.setting.stem if self.setting else "")

    def __str__(self) -> str:
        return f"{self.base} with {self.setting}" if self.setting else str(self.base)

    def plain(self) -> dict[str, Any]:
        """The combination as plain data.

        A setting that starts from another run leaves data, graph, encoder and decoder to that run.
        """
        plain: dict[str, Any] = reduce(merge, (part for _, part in _lineage(self.base)))
        changes = {kind: self._changes(kind, plain.pop(kind, {})) for kind in SETTINGS.values()}
        what = f"{NOUNS[self.kind]} setting"
        for name, setting in _lineage(self.setting, what) if self.setting else ():
            for part in (setting, changes[self.kind].get(name, {})):
                if "init_from" in part:
                    start = str(part["init_from"]).replace("{base}", self.base.stem)
                    part = {**part, "init_from": start}
                    plain = {k: v for k, v in plain.items() if k not in RunConfig.INHERITED}
                plain = merge(plain, part)
        return plain

    def _changes(self, kind: str, changes: Any) -> Mapping[str, Mapping[str, Any]]:
        """What the base changes of settings, by their names."""
        where = f"{self.base}: {kind}"
        if not isinstance(changes, Mapping):
            raise InputError(f"{where}: expected a section, got {shown(changes)}")
        folder = self.setting.parent if self.setting and kind == self.kind else RECIPES / kind
        for name, change in changes.items():
            if not isinstance(change, Mapping):
                raise InputError(f"{where}.{name}: expected a section, got {shown(change)}")
            if not any((place / f"{name}.toml").exists() for place in (folder, RECIPES / kind)):
                known = ", ".join(sorted(path.stem for path in folder.glob("*.toml")))
                raise InputError(f"{where}.{name}: unknown setting; known: {known}")
        return changes


def run_name(base: str, setting: str) -> str:
    """The name of the runs of a base with a setting.

    Example:
        >>> run_name("umls-distmult", "self-loop"), run_name("umls-distmult", "dans")
        ('umls-distmult-self-loop', 'umls-distmult')
    """
    return base if setting in ("", DEFAULT) else f"{base}-{setting}"


def find_recipe(name: str, kind: str, setting: str = "") -> Recipe:
    """A recipe by the names, or the files, of its base and its setting.

    ``umls-distmult-self-loop``, the name of the runs, stands for base and setting too. The kind of
    runs is ``pretrain``, ``dans`` or ``baselines``.
    """
    base, folder = Path(name), SETTINGS.get(kind, "")
    if setting and not folder:
        raise InputError(f"{setting}: runs of {kind} have no settings; leave it out")
    where = f"--{NOUNS[folder]} {setting}" if setting else name
    if base.suffix != ".toml":
        bases = [path.stem for path in (RECIPES / "bases").glob("*.toml")]
        for known in bases if folder and name not in bases else ():
            if not name.startswith(f"{known}-"):
                continue
            its = name.removeprefix(f"{known}-")
            its = old_names.SETTINGS.get(its, its)
            if not setting or (RECIPES / folder / f"{its}.toml").exists():
                name, setting = known, setting or its
                break
        if kind == "dans":
            setting = setting or DEFAULT
        base = RECIPES / "bases" / f"{name}.toml"
    if not setting:
        return Recipe(base)
    file = Path(setting)
    if file.suffix != ".toml":
        file = RECIPES / folder / f"{old_names.SETTINGS.get(setting, setting)}.toml"
        if file not in (RECIPES / folder).glob("*.toml"):
            raise InputError(f"{where}: unknown {NOUNS[folder]} setting; {_offered(file)}")
    return Recipe(base, file, folder)


def read_recipe(recipe: Path | Recipe) -> dict[str, Any]:
    """A recipe as plain data, with what it leaves open taken from the recipe it extends.

    ``extends = "umls-distmult"`` names a recipe in the same folder. Options of plain sections are
    taken over one by one, and so are those of a component that is not named anew; a list of
    components is taken over whole or not at all, and ``[]`` is a list; ``loss = ""`` is no loss.
    """
    return (recipe if isinstance(recipe, Recipe) else Recipe(recipe)).plain()


def _lineage(
    path: Path, what: str = "recipe", heirs: tuple[Path, ...] = ()
) -> list[tuple[str, dict[str, Any]]]:
    """A file and those it extends, by name, the last of them first."""
    try:
        plain = old_names.renamed_options(read_toml(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what}; {_offered(path)}") from None
    name = plain.pop("extends", None)
    if name is None:
        return [(path.stem, plain)]
    if not (isinstance(name, str) and name.isprintable() and name == Path(name).stem != ""):
        expected = f"expected the name of a {what} in the same folder"
        raise InputError(f"{path}: extends: {expected}, got {shown(name)}")
    base = path.with_name(f"{name}.toml")
    if len(heirs) == MOST_DEPTH:
        raise InputError(f"{heirs[0]}: extends: more than {MOST_DEPTH} {what}s in a chain")
    if base in (*heirs, path):
        raise InputError(f"{path}: extends: {name} extends this {what}")
    return [*_lineage(base, what, (*heirs, path)), (path.stem, plain)]


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two recipes as one: sections option by option, all else from above where given.

    A component that names itself is another one, and takes over nothing.
    """
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        under, over = below[key], above[key]
        if key in COMPONENTS and isinstance(under, str) and under:
            under = {"name": under}
        if isinstance(under, Mapping) and isinstance(over, Mapping) and "name" not in over:
            merged[key] = merge(under, over)
    return merged


def _offered(path: Path) -> str:
    """The names of a folder, and the one closest to a missing one; where they are many, a few."""
    names = sorted(other.stem for other in path.parent.glob("*.toml"))
    if not names:
        return f"{path.parent} has no TOML file"
    if len(names) > LISTED:
        near = get_close_matches(path.stem, names, n=5)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        return f"{hint}{len(names)} are in {path.parent}"
    today = {name: name for name in names}
    today |= {old: new for old, new in old_names.SETTINGS.items() if new in today}
    hint = did_you_mean(path.stem, today, today.__getitem__)
    return f"known: {', '.join(names)}{hint}"


def override(plain: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply ``key.path=value`` assignments to plain data; the original stays as it was.

    Values are TOML; what is not TOML is taken as a string. Members of a list are reached by number.
    A component given by its name alone becomes a section when an option of it is set. Names of
    components are set first, as ``assign`` drops the options of a component for another one.

    Example:
        >>> override({"train": {"lr": 0.1}}, ["train.lr=0.01", "decoder.name=rotate"])
        {'train': {'lr': 0.01}, 'decoder': {'name': 'rotate'}}
    """
    changed = dict(plain)
    for path, value in names_first(parse_assignments(assignments)):
        changed = assign(changed, path, value, "--set ")
    return changed


def names_first(given: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Options by full name: whole sections, then names of components, then all others.

    Example:
        >>> names_first([("loss.offset", 1), ("loss.name", "logistic"), ("loss", "margin")])
        [('loss', 'margin'), ('loss.name', 'logistic'), ('loss.offset', 1)]
    """
    given = list(given)

    def place(one: tuple[str, Any]) -> int:
        path = one[0]
        whole = any(other.startswith(f"{path}.") for other, _ in given)
        return 0 if whole else 1 if path.endswith(".name") else 2

    return sorted(given, key=place)


def spelled_out(given: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Options by full name, where a section that is given whole stands for its options.

    What it does not name stays as it is; lists of components are values.

    Example:
        >>> spelled_out([("train", {"lr": 0.1, "patience": 5}), ("sampler", [])])
        [('train.lr', 0.1), ('train.patience', 5), ('sampler', [])]
    """
    found: list[tuple[str, Any]] = []
    for path, value in given:
        section = path in SECTIONS or (path.startswith("phase.") and path.count(".") == 1)
        if isinstance(value, Mapping) and value and section:
            found += spelled_out((f"{path}.{key}", one) for key, one in value.items())
        else:
            found.append((path, value))
    return found


def parse_assignments(assignments: Sequence[str]) -> list[tuple[str, Any]]:
    """Full names of options and their values, from ``key.path=value`` as a command takes them."""
    found = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not all(path.strip().split(".")):
            raise InputError(f"--set {assignment}: expected section.option=value")
        found.append((path.strip(), _value(text.strip(), f"--set {path}")))
    return spelled_out(found)


def assign(plain: Mapping[str, Any], path: str, value: Any, where: str = "") -> dict[str, Any]:
    """A copy of plain data with one option set, by its full name; ``where`` opens errors.

    Another name of a component drops its options, as in ``merge``, but for the width of an encoder,
    which is that of the embeddings.

    Example:
        >>> assign({"sampler": [{"name": "uniform"}]}, "sampler.0.k", 5)
        {'sampler': [{'name': 'uniform', 'k': 5}]}
        >>> assign({"loss": {"name": "logistic", "offset": 1.0}}, "loss.name", "margin")
        {'loss': {'name': 'margin'}}
    """
    changed: dict[str, Any] = deepcopy(dict(plain))
    keys = path.split(".")
    if len(keys) > MOST_DEPTH:
        raise InputError(f"{where}{keys[0]}…: more than {MOST_DEPTH} sections within each other")
    here: Any = changed
    for depth, key in enumerate(keys[:-1]):
        so_far = f"{where}{'.'.join(keys[: depth + 1])}"
        place = _place(here, key, so_far)
        if isinstance(here, dict):
            here.setdefault(key, {})
        if isinstance(here[place], str):
            here[place] = {"name": here[place]}
        if not isinstance(here[place], (dict, list)):
            raise InputError(f"{so_far}: is a value, not a section")
        here = here[place]
    if keys[-1] == "name" and isinstance(here, dict) and here.get("name", value) != value:
        for key in here.keys() - {"dim"}:
            del here[key]
    here[_place(here, keys[-1], f"{where}{path}")] = value
    return changed


def _place(here: Any, key: str, where: str) -> Any:
    """The key of a section, or the number of a member of a list."""
    if not isinstance(here, list):
        return key
    if not (key.isdecimal() and len(key) < 10 and int(key) < len(here)):
        raise InputError(f"{where}: expected a number below {len(here)}, got {shown(key)}")
    return int(key)


def _value(text: str, where: str) -> Any:
    """A TOML value, or else the text as it stands; more than one value is text too."""
    try:
        plain = parse_toml(f"value = {text}", where)
    except TooLargeError:
        raise
    except InputError:
        return text
    return plain["value"] if len(plain) == 1 else text


def component(text: str) -> Component:
    """A component in one string: its name, and its options after a colon.

    Example:
        >>> component("uniform:k=5,filter=mask")
        Component(name='uniform', options={'k': 5, 'filter': 'mask'})
    """
    name, _, given = text.partition(":")
    options = {}
    for option in given.split(",") if given else ():
        key, equals, value = (part.strip() for part in option.partition("="))
        if not (key and equals and value):
            raise InputError(f"{text}: expected NAME or NAME:OPTION=VALUE,OPTION=VALUE")
        if key in options:
            raise InputError(f"{text}: {key} is given twice; leave one out")
        options[key] = _value(value, text)
    return Component(name.strip(), options)
