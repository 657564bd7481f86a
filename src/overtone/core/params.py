"""Read a group of params.yaml into the settings dataclass that owns it, and check it."""

import reprlib
import types
import typing
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from overtone.core.errors import OvertoneError

Settings = TypeVar("Settings")

# A page pasted by mistake is not to fill the terminal; what fits on a line is printed as it is.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 20


def read(group: str, settings: type[Settings], path: str | Path = "params.yaml") -> Settings:
    """Read one group of a params file into its settings dataclass.

    Args:
        group: top-level key of the file, e.g. ``"degrade"``.
        settings: the frozen dataclass that owns the group and validates it in ``__post_init__``.
        path: the params file.

    Raises:
        OvertoneError: the file or the group is missing, a key is unknown or missing, a value is of
            the wrong type or not allowed; the message quotes the key as it stands in the file.
    """
    tree = _load(path)
    if not isinstance(tree.get(group), dict):
        raise OvertoneError(f"{path} has no group '{group}:'")
    return build(group, settings, tree[group])


def check_groups(known: typing.Iterable[str], path: str | Path = "params.yaml") -> None:
    """Raise if a params file has a group that none of its readers knows, such as a misspelt one."""
    names = list(known)
    for group in _load(path):
        if group not in names:
            raise OvertoneError(f"{group!r} is no group of {path}; it has {', '.join(names)}")


def _load(path: str | Path) -> dict[str, Any]:
    """Load a params file as plain values."""
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OvertoneError(f"{path} is missing; run from the folder that holds it") from None
    except UnicodeDecodeError as error:
        raise OvertoneError(f"{path} is not text in UTF-8: {error.reason} at byte {error.start}") from None
    except yaml.YAMLError as error:
        raise OvertoneError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise OvertoneError(f"{path} has no groups")
    return tree


def build(group: str, settings: type[Settings], values: dict[str, Any]) -> Settings:
    """Build a settings dataclass from plain values; refuse unknown and missing keys.

    The field of a key that is a Python keyword ends in an underscore: ``from`` is ``from_``.
    """
    known = {_key(field.name): field for field in fields(settings)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise OvertoneError(f"{group}.{key} is not known; {group} has {', '.join(known)}")
    hints = typing.get_type_hints(settings)
    typed = {}
    for key, field in known.items():
        if key in values:
            typed[field.name] = _typed(f"{group}.{key}", values[key], hints[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise OvertoneError(f"{group}.{key} is missing; add it to params.yaml under '{group}:'")
    return settings(**typed)


def plain(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as plain values under their keys in params.yaml."""
    return asdict(settings, dict_factory=lambda pairs: {_key(name): value for name, value in pairs})


def _key(name: str) -> str:
    """Return a field's key in params.yaml."""
    return name.removesuffix("_")


def check(holds: bool, key: str, value: object, allowed: str) -> None:
    """Raise ``KEY is VALUE; it is ALLOWED`` unless a condition holds."""
    if not holds:
        raise OvertoneError(f"{key} is {_SHORT.repr(value)}; it is {allowed}")


def check_choice(key: str, value: object, choices: typing.Iterable[str]) -> None:
    """Raise unless a value is one of the named choices."""
    names = list(choices)
    check(value in names, key, value, "one of " + ", ".join(names))


_NAMES = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}


def _typed(key: str, value: Any, hint: Any) -> Any:
    """Convert a value to the type that the dataclass declares.

    YAML reads ``1e-3`` (no dot) as a word and ``1`` as a whole number; people mean numbers by both.
    """
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if value is None and type(None) in typing.get_args(hint):
            return None
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
    origin = typing.get_origin(hint)
    if origin is tuple:
        check(isinstance(value, list), key, value, "a list, written [a, b, c]")
        return tuple(_typed(key, item, typing.get_args(hint)[0]) for item in value)
    if is_dataclass(hint):
        check(isinstance(value, dict), key, value, "a group of settings")
        return build(key, typing.cast(type[Any], hint), value)
    if origin is dict:
        check(isinstance(value, dict), key, value, "a group of 'name: number' lines")
        return {name: _typed(f"{key}.{name}", item, typing.get_args(hint)[1]) for name, item in value.items()}
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    # bool is a subclass of int: `rate: true` must not pass for 1.
    fits = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    check(fits, key, value, _NAMES.get(hint, str(hint)))
    return value
