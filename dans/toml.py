"""Plain data as TOML: the way back from what ``dans.plain`` reads."""

import json
import re
from collections.abc import Mapping
from typing import Any


def to_toml(plain: Mapping[str, Any]) -> str:
    """Nested plain data as a TOML document.

    Args:
        plain: strings, numbers, booleans, lists and mappings; None has no word in TOML.

    Example:
        >>> print(to_toml({"data": "umls", "sampler": [{"name": "uniform", "k": 5}]}), end="")
        data = "umls"
        <BLANKLINE>
        [[sampler]]
        name = "uniform"
        k = 5
    """
    return "\n".join(_section(plain, "")).lstrip("\n") + "\n"


def to_value(value: Any) -> str:
    """One value as TOML has it, in one line.

    Example:
        >>> to_value([1e-5, True, "umls", {"k": 5}])
        '[1e-05, true, "umls", {k = 5}]'
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {to_value(one)}' for key, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(to_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for one character, which JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise TypeError(f"TOML has no {type(value).__name__}")


def _section(plain: Mapping[str, Any], path: str) -> list[str]:
    """Lines of a section; what stands alone comes before what opens sections of its own."""
    sections = {key: value for key, value in plain.items() if _members(value)}
    lines = [f"{_key(key)} = {to_value(plain[key])}" for key in plain if key not in sections]
    for key, value in sections.items():
        name = f"{path}{_key(key)}"
        title = f"[{name}]" if isinstance(value, Mapping) else f"[[{name}]]"
        for member in _members(value):
            lines += ["", title, *_section(member, f"{name}.")]
    return lines


def _members(value: Any) -> list[Mapping[str, Any]]:
    """The mapping, or the mappings of a list, that a value stands for; none for other values."""
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        return value
    return []


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else to_value(key)
