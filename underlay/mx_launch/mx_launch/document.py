"""A launch file as checked elements: every tag and attribute is known, and knows its line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat


class LaunchError(Exception):
    """Something in a launch file or its arguments that a user can mend, in one line."""


@dataclass(frozen=True)
class Rule:
    """What a tag may hold."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


@dataclass
class Element:
    """A tag of a launch file; `where` is "file:line"."""

    tag: str
    attributes: dict[str, str]
    where: str
    children: list[Element] = field(default_factory=list)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The attribute as it stands in the file, substitutions and all."""
        return self.attributes.get(name, default)

    def all(self, tag: str) -> list[Element]:
        """The children of one tag, in order."""
        return [child for child in self.children if child.tag == tag]

    def error(self, text: str) -> LaunchError:
        """An error that names this place."""
        return LaunchError(f"{self.where}: {text}")


_IF = ("if", "unless")
_ACTIONS = (
    "arg",
    "executable",
    "group",
    "include",
    "let",
    "node",
    "push_ros_namespace",
    "set_env",
    "unset_env",
)
_PROCESS = (
    "cwd",
    "name",
    "on_exit",
    "output",
    "respawn",
    "respawn_delay",
    "respawn_max_retries",
    "sigkill_timeout",
    "sigterm_timeout",
)
RULES = {
    "launch": Rule(optional=("version",), children=_ACTIONS),
    "arg": Rule(("name",), ("default", "description", *_IF), ("choice",)),
    "choice": Rule(("value",)),
    "let": Rule(("name", "value"), _IF),
    "set_env": Rule(("name", "value"), _IF),
    "unset_env": Rule(("name",), _IF),
    "push_ros_namespace": Rule(("namespace",), _IF),
    "group": Rule(optional=("scoped", *_IF), children=_ACTIONS),
    "include": Rule(("file",), _IF, ("arg",)),
    "include/arg": Rule(("name", "value")),
    "executable": Rule(("cmd",), (*_PROCESS, *_IF), ("env",)),
    "node": Rule(
        ("pkg", "exec"),
        ("args", "exec_name", "namespace", "ros_args", *_PROCESS, *_IF),
        ("env", "param", "remap"),
    ),
    "env": Rule(("name", "value")),
    "remap": Rule(("from", "to")),
    "param": Rule(optional=("allow_substs", "from", "name", "type", "value"), children=("param",)),
}


def read_launch_file(path: Path) -> Element:
    """The checked `<launch>` of a file.

    Raises LaunchError with file and line for what is no XML, for an unknown or missing tag or
    attribute, and with the path for a file that cannot be read.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise LaunchError(f"cannot read launch file {path}: {error.strerror}") from None
    root = _parse(text, path)
    if root.tag != "launch":
        raise root.error(f"the outermost tag is <{root.tag}>, but must be <launch>")
    _check(root, "")
    return root


def _parse(text: bytes, path: Path) -> Element:
    top = Element("", {}, str(path))
    open_elements = [top]
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, Any]) -> None:
        element = Element(tag, attributes, f"{path}:{parser.CurrentLineNumber}")
        open_elements[-1].children.append(element)
        open_elements.append(element)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_elements.pop()
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise LaunchError(f"{path}:{error.lineno}: not well-formed XML: {reason}") from None
    return top.children[0]


def _check(element: Element, parent: str) -> None:
    rule = RULES.get(f"{parent}/{element.tag}") or RULES[element.tag]
    known = (*rule.required, *rule.optional)
    for name in element.attributes:
        if name not in known:
            raise element.error(
                f"unknown attribute {name!r} of <{element.tag}>; known are {_listing(known)}"
            )
    for name in rule.required:
        if name not in element.attributes:
            raise element.error(f"<{element.tag}> needs the attribute {name!r}")
    if "if" in element.attributes and "unless" in element.attributes:
        raise element.error(f"<{element.tag}> has both 'if' and 'unless'; give one of them")
    for child in element.children:
        if child.tag not in rule.children:
            raise child.error(
                f"unknown tag <{child.tag}> in <{element.tag}>; known are {_listing(rule.children)}"
            )
        _check(child, element.tag)


def _listing(names: tuple[str, ...]) -> str:
    return ", ".join(sorted(names)) or "none"
