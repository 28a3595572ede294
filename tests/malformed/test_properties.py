"""Whatever is read, what is wrong with it is an ``InputError`` and nothing else."""

import gzip
import json
import math
import os
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dans.config.reading import parse_json, parse_toml
from dans.config.recipes import component, merge, override, read_recipe
from dans.config.schema import RunConfig
from dans.data.cards import DatasetCard
from dans.data.readers import read
from dans.errors import LONGEST, InputError
from dans.evaluation.calibration import Fitted, Isotonic, Platt
from dans.registry import build
from dans.training.checkpoint import load_state, save_state, write_state
from tests.malformed.world import RECIPE, toy_card
from tests.suites.states import states_equal

#: The same examples in every run, and no more of them than a second has room for.
steady = settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    # As hexadecimal digits make them: Python writes none of these.
    | st.integers(6000, 7000).map(lambda digits: 16**digits)
    | st.sampled_from([2**63, -(2**63), 10**400, "", "umls", "uniform", "inf", "nan", 1e308])
)

#: Keys that mean something, so that examples come further than the first unknown one.
keys = st.sampled_from(
    [*RunConfig.__struct_fields__, "name", "k", "dim", "lr", "steps", "betas", "expected"]
) | st.text(max_size=5)

plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)

GOOD: dict[str, Any] = parse_toml(RECIPE, "")


def attempt(work: Callable[[], Any]) -> Any:
    """What some work gives, or the sentence by which it is refused."""
    try:
        return work()
    except InputError as error:
        sentence = str(error)
        assert sentence.isprintable(), sentence
        assert len(sentence) <= LONGEST
        return Refused(sentence)


class Refused(str):
    """The sentence of an ``InputError``."""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that examples write into, one after the other."""
    return tmp_path_factory.mktemp("shelf")


@steady
@given(
    data=st.binary(max_size=80)
    | st.text("\t\n\r ab1-.<>\"'_:@^\\u\0\ufeff", max_size=60).map(str.encode),
    suffix=st.sampled_from([".tsv", ".txt", ".nt", ".tsv.gz", ".nt.gz"]),
    pack=st.booleans(),
    labelled=st.booleans(),
)
def test_any_bytes_are_read_or_refused(
    shelf: Path, data: bytes, suffix: str, pack: bool, labelled: bool
) -> None:
    path = shelf / f"bytes{suffix}"
    path.write_bytes(gzip.compress(data) if pack and suffix.endswith(".gz") else data)
    found = attempt(lambda: list(read(path, labelled=labelled)))
    if isinstance(found, Refused):
        assert found.startswith(str(path))
        return
    for line in found:
        assert all(name.strip() and not {"\t", "\n", "\0"} & set(name) for name in line[:3])


@steady
@given(plain)
def test_any_plain_data_are_a_recipe_or_refused(given: Any) -> None:
    config = attempt(lambda: RunConfig.parse(given if isinstance(given, dict) else {"data": given}))
    if not isinstance(config, Refused):
        assert RunConfig.parse(config.plain()) == config


@steady
@given(
    section=st.sampled_from([*GOOD, "graph", "phase", "regularizer", "objective", "init_from"]),
    key=keys | st.sampled_from([*GOOD["train"], "patience", "schedule", "norm", "sample"]),
    value=plain,
)
def test_one_thing_wrong_in_a_recipe_is_refused_by_its_key(
    section: str, key: str, value: Any
) -> None:
    changed = merge(GOOD, {section: {key: value}})
    config = attempt(lambda: RunConfig.parse(changed, where="own.toml"))
    if isinstance(config, Refused):
        assert config.startswith("own.toml: ")
        assert section in config
    else:
        assert RunConfig.parse(config.plain()) == config
        assert json.loads(json.dumps(config.plain(), allow_nan=False)) == config.plain()


@steady
@given(st.text(st.characters(codec="utf-8") | st.sampled_from("abc.=012[]{}\"',#"), max_size=30))
@example("train.lr=[[[[")
@example("sampler.٣.k=5")
@example("a=" + "9" * 5000)
@example("sampler." + "9" * 5000 + ".k=1")
@example("train.lr=1\nfoo=2")
@example("train.steps=0x" + "f" * 6000)
@example("a\nb")
@example("train.\x1b[31m=1")
def test_any_assignment_is_applied_or_refused(text: str) -> None:
    before = json.dumps(GOOD)
    changed = attempt(lambda: override(GOOD, [text]))
    assert json.dumps(GOOD) == before, "the original stays as it was"
    if not isinstance(changed, Refused):
        assert "=" in text
        attempt(lambda: RunConfig.parse(changed))


@steady
@given(
    path=st.lists(st.text("abcxyz_", min_size=1, max_size=5), min_size=1, max_size=4),
    value=st.integers(-(10**9), 10**9)
    | st.booleans()
    | st.text("abc def", min_size=1).map(str.strip),
)
def test_what_is_assigned_is_found_there(path: list[str], value: Any) -> None:
    text = json.dumps(value)
    found: Any = override({}, [f"{'.'.join(path)}={text}"])
    for key in path:
        found = found[key]
    assert found == value


@steady
@given(st.text(max_size=30) | st.text("uniform:k=5,[]", max_size=20))
def test_any_component_is_read_or_refused(text: str) -> None:
    attempt(lambda: component(text))


@steady
@given(st.binary(max_size=60) | st.text("[]{}=.\"'#\n a1", max_size=60).map(str.encode))
@example(b"\xff\xfe[")
@example(b"a=" + b"[" * 5000)
@example(b'extends = "a\\u0000b"')
@example(b'extends = "../bytes"')
@example(b"extends = 0x" + b"f" * 6000)
@example(b'"a\\nb\\u001b[31m" = 5')
def test_any_bytes_are_toml_or_refused_by_file(shelf: Path, data: bytes) -> None:
    path = shelf / "bytes.toml"
    path.write_bytes(data)
    for reader in (read_recipe, DatasetCard.read):
        found = attempt(partial(reader, path))
        if isinstance(found, Refused):
            assert str(path.parent) in found


@steady
@given(
    line=st.integers(0, toy_card().count("\n") - 1),
    old=st.integers(0, 80),
    new=st.text('abc[]{}="\n.-/0123456789', max_size=6) | st.sampled_from(['"../x"', "-5", "true"]),
    cut=st.integers(0, 12),
)
def test_a_card_with_something_wrong_is_refused_by_file(
    shelf: Path, line: int, old: int, new: str, cut: int
) -> None:
    lines = toy_card().split("\n")
    lines[line] = lines[line][:old] + new + lines[line][old + cut :]
    path = shelf / "toy.toml"
    path.write_text("\n".join(lines))
    card = attempt(lambda: DatasetCard.read(path))
    if isinstance(card, Refused):
        assert card.startswith(str(path))
    else:
        # The only text that becomes part of a path.
        assert card.name == "toy"


@steady
@given(name=st.text(max_size=12) | st.from_regex(r"(\.\./|/|[a-c]|\\|\.){1,8}", fullmatch=True))
def test_a_member_or_file_that_a_card_names_stays_inside(shelf: Path, name: str) -> None:
    quoted = json.dumps(name, ensure_ascii=True)
    sha = "0" * 64
    text = toy_card().replace(
        "[train]\n",
        f'[train]\ndownload = [{{ url = "https://x.org", sha256 = "{sha}", member = {quoted} }}]\n'
        f'installed = {{ distribution = "toy", file = {quoted} }}\n',
    )
    (shelf / "toy.toml").write_text(text)
    card = attempt(lambda: DatasetCard.read(shelf / "toy.toml"))
    if not isinstance(card, Refused):
        for found in (
            card.splits["train"].downloads[0].member,
            card.splits["train"].installed.file,
        ):
            inside = os.path.normpath(os.path.join("/inside", found))
            assert inside == f"/inside/{found}"


STATE: dict[str, Any] = {
    "step": 7,
    "model": {"entities": torch.arange(12.0).view(3, 4), "bias": torch.tensor([True, False])},
    "optimizers": {"model": {"state": {0: {"step": torch.tensor(7.0)}}}},
    "note": 'a "digest" in quotes',
}
_FILE = BytesIO()
write_state(_FILE, STATE)
PACKED = _FILE.getvalue()


def bent(data: bytes, how: str, at: float, new: bytes) -> bytes:
    place = int(at * len(data))
    if how == "cut":
        return data[:place]
    if how == "insert":
        return data[:place] + new + data[place:]
    if how == "drop":
        return data[:place] + data[place + len(new) :]
    return data[:place] + new + data[place + len(new) :]


@steady
@given(
    how=st.sampled_from(["cut", "insert", "drop", "write"]),
    at=st.floats(0, 1),
    new=st.binary(min_size=1, max_size=9),
)
def test_a_checkpoint_is_what_it_was_or_refused(
    shelf: Path, how: str, at: float, new: bytes
) -> None:
    path = shelf / "last.safetensors"
    path.write_bytes(bent(PACKED, how, at, new))
    found = attempt(lambda: load_state(path))
    if isinstance(found, Refused):
        assert found.startswith(str(path))
    else:
        assert states_equal(found, STATE)


@steady
@given(bit=st.integers(0, 8 * len(PACKED) - 1))
def test_a_bit_that_flipped_is_found(shelf: Path, bit: int) -> None:
    data = bytearray(PACKED)
    data[bit // 8] ^= 1 << bit % 8
    path = shelf / "flipped.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError):
        load_state(path)


@steady
@given(
    st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: len(b).to_bytes(8, "little") + b)
)
@example(b"\x80\x04K\x01.")
def test_any_bytes_are_no_checkpoint(shelf: Path, data: bytes) -> None:
    path = shelf / "any.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError):
        load_state(path)


@steady
@given(plain.filter(lambda value: not _strange(value)))
def test_any_state_comes_back(value: Any) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        save_state(path, {"value": value})
        assert states_equal(load_state(path), {"value": value})


def _strange(value: Any) -> bool:
    """What equals nothing, itself included, or stands for a tensor."""
    if isinstance(value, dict):
        return any(_strange(item) for item in value.values())
    if isinstance(value, list):
        return any(_strange(item) for item in value)
    if isinstance(value, int):
        return abs(value) > 10**300
    return isinstance(value, float) and math.isnan(value)


FITTED = Fitted(
    3,
    "d" * 64,
    (0.5, float("inf")),
    {"platt": Platt(1.0, 0.0), "isotonic": Isotonic((0.0,), (0.5,))},
).to_json()


@steady
@given(
    key=st.sampled_from([*FITTED]),
    value=plain
    | st.dictionaries(st.sampled_from(["a", "b", "scores", "values"]), plain, max_size=2),
)
def test_any_calibration_is_read_or_refused(key: str, value: Any) -> None:
    data = json.loads(json.dumps(FITTED)) | {key: value}
    found = attempt(lambda: Fitted.from_json(data))
    if not isinstance(found, Refused):
        for calibration in found.calibrations.values():
            probabilities = calibration.probabilities(torch.tensor([-1.0, 0.0, 9.0]))
            assert bool(((probabilities >= 0) & (probabilities <= 1)).all())


@steady
@given(st.text(max_size=60) | st.text('[]{}",:0123456789eE.-ntfu ', max_size=40))
def test_any_text_is_json_or_refused(text: str) -> None:
    attempt(lambda: parse_json(text, "x.json"))


class Part:
    """Options of every plain kind."""

    def __init__(
        self,
        *,
        k: int = 1,
        rate: float = 0.5,
        flag: bool = False,
        side: str = "a",
        of: int | None = None,
    ) -> None:
        self.options = {"k": k, "rate": rate, "flag": flag, "side": side, "of": of}


@steady
@given(
    st.dictionaries(
        st.sampled_from(["k", "rate", "flag", "side", "of", "other"]), plain, max_size=3
    )
)
def test_any_options_are_of_their_kind_or_refused(given: dict[str, Any]) -> None:
    part = attempt(lambda: build({"part": Part}, "part", where="x", given=given))
    if not isinstance(part, Refused):
        kinds = {"k": int, "rate": (int, float), "flag": bool, "side": str, "of": (int, type(None))}
        for key, value in part.options.items():
            assert isinstance(value, kinds[key])
            assert isinstance(value, bool) == (key == "flag")
            assert not isinstance(value, float) or math.isfinite(value)
