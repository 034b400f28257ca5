"""The `<param>` tags of a node, as parameter files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mx_launch.document import Element, LaunchError
from mx_launch.substitutions import Scope, is_true, parse, perform, text_of

_SCALARS = {"str": str, "int": int, "float": float, "bool": bool}
_LISTS = {f"list_of_{name}": scalar for name, scalar in _SCALARS.items()}
_TYPES = (*_SCALARS, *_LISTS, "yaml")


def write_parameters(
    node: Element, scope: Scope, full_name: str, scratch: Path, stem: str
) -> list[Path]:
    """The parameter files of a node, in the order of its tags: given ones, and ones for values.

    Values are written for the node `full_name` into files `<scratch>/<stem>_<n>.yaml`.
    """
    files: list[Path] = []
    inline: dict[str, Any] = {}
    for param in node.all("param"):
        if "from" in param.attributes:
            _write(inline, full_name, scratch, stem, files)
            files.append(_given_file(param, scope, scratch / f"{stem}_{len(files)}.yaml"))
        else:
            inline.update(_values(param, scope))
    _write(inline, full_name, scratch, stem, files)
    return files


def _write(
    values: dict[str, Any], full_name: str, scratch: Path, stem: str, files: list[Path]
) -> None:
    if values:
        path = scratch / f"{stem}_{len(files)}.yaml"
        path.write_text(yaml.safe_dump({full_name: {"ros__parameters": values}}))
        files.append(path)
        values.clear()


def _given_file(param: Element, scope: Scope, copy: Path) -> Path:
    if "name" in param.attributes or "value" in param.attributes:
        raise param.error("<param> has 'from' beside 'name' or 'value'; give one of them")
    path = Path(text_of(param, "from", scope))
    if not path.is_file():
        raise param.error(f"parameter file {path} does not exist")
    if not is_true(text_of(param, "allow_substs", scope) or "false"):
        return path
    try:
        copy.write_text(perform(parse(path.read_text()), scope))
    except LaunchError as error:
        raise param.error(f"{path}: {error}") from None
    return copy


def _values(param: Element, scope: Scope) -> dict[str, Any]:
    if "name" not in param.attributes:
        raise param.error("<param> needs the attribute 'name' or 'from'")
    name = text_of(param, "name", scope)
    if ("value" in param.attributes) == bool(param.children):
        raise param.error(f"<param> {name!r} needs either 'value' or nested <param> tags")
    if not param.children:
        return {name: _value(param, scope, name)}
    return {
        f"{name}.{inner}": value
        for child in param.children
        for inner, value in _values(child, scope).items()
    }


def _value(param: Element, scope: Scope, name: str) -> Any:
    text, kind = text_of(param, "value", scope), param.attributes.get("type", "yaml")
    if kind not in _TYPES:
        raise param.error(f"type={kind!r} is not one of {', '.join(_TYPES)}")
    try:
        value = _convert(text, kind)
    except (LaunchError, ValueError, yaml.YAMLError):
        raise param.error(
            f"value {text!r} of {name!r} is no {kind}; correct it, or set type"
        ) from None
    return value


def _convert(text: str, kind: str) -> Any:
    """A text as a parameter of a type; "yaml" takes the type that the text looks like."""
    if kind == "str" or (kind == "yaml" and not text):
        return text
    if kind in ("int", "float"):
        return _SCALARS[kind](text)
    if kind == "bool":
        return is_true(text)
    value = yaml.safe_load(text)
    found = {type(item) for item in (value if isinstance(value, list) else [value])}
    if len(found) > 1 or not found <= set(_SCALARS.values()):
        raise ValueError(text)
    if kind in _LISTS and not (isinstance(value, list) and found <= {_LISTS[kind]}):
        raise ValueError(text)
    return value
