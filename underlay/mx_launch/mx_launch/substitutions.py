"""The `$(...)` of launch files: what the text says, and what it becomes."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)

from mx_launch.document import Element, LaunchError

TRUE, FALSE = ("true", "1"), ("false", "0")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass
class Scope:
    """What substitutions see: the file, the values of arguments, and the environment."""

    file: Path
    values: dict[str, str]
    environment: dict[str, str]

    def copy(self) -> Scope:
        """A scope whose changes stay in it."""
        return Scope(self.file, dict(self.values), dict(self.environment))


@dataclass(frozen=True)
class Substitution:
    """One `$(name argument ...)`; each argument is a template of its own."""

    name: str
    arguments: tuple[Template, ...]

    def perform(self, scope: Scope) -> str:
        """The text that it stands for. Raises LaunchError."""
        if self.name not in SUBSTITUTIONS:
            known = ", ".join(sorted(SUBSTITUTIONS))
            raise LaunchError(f"unknown substitution $({self.name}); known are {known}")
        fewest, most, function = SUBSTITUTIONS[self.name]
        if not fewest <= len(self.arguments) <= most:
            wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            given = len(self.arguments)
            raise LaunchError(f"$({self.name}) takes {wanted} arguments, not {given}")
        if () in self.arguments and self.name in ("equals", "not-equals"):
            raise LaunchError(
                f"$({self.name}) cannot compare with '', which ROS does not take for empty; "
                "compare with the $(var) of an empty <let>"
            )
        return function(scope, [perform(argument, scope) for argument in self.arguments])


Template = tuple["str | Substitution", ...]


def parse(text: str) -> Template:
    """Split a text into plain parts and substitutions. Raises LaunchError."""
    return _Parser(text).template(end="")


def perform(template: Template, scope: Scope) -> str:
    """The text of a template in a scope. Raises LaunchError."""
    return "".join(
        part.perform(scope) if isinstance(part, Substitution) else part for part in template
    )


def is_true(text: str) -> bool:
    """The truth of a condition. Raises LaunchError for anything but true, false, 1 and 0."""
    lowered = text.strip().lower()
    if lowered not in TRUE + FALSE:
        raise LaunchError(f"{text!r} is neither true nor false")
    return lowered in TRUE


def text_of(element: Element, name: str, scope: Scope) -> str:
    """The value of an attribute in a scope; empty where it is not given. Raises LaunchError."""
    try:
        return perform(parse(element.attributes.get(name, "")), scope)
    except LaunchError as error:
        raise element.error(f"{name}: {error}") from None


class _Parser:
    """Reads a text from left to right; `\\` keeps the next character from meaning anything."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def template(self, end: str) -> Template:
        """Everything up to `end`, a quote, or the end of the text if it is empty."""
        parts: list[str | Substitution] = []
        while (character := self._peek()) != end:
            if not character:
                raise LaunchError(f"{self.text!r} lacks a closing {end}")
            parts.append(self._part(character, end))
        self.at += len(end)
        return _joined(parts)

    def _part(self, character: str, quote: str) -> str | Substitution:
        if self.text.startswith("$(", self.at):
            return self._substitution(quote)
        if character == "\\" and self.at + 1 < len(self.text):
            self.at += 1
        self.at += 1
        return self.text[self.at - 1]

    def _substitution(self, quote: str) -> Substitution:
        self.at += 2
        match = _NAME.match(self.text, self.at)
        if not match:
            raise LaunchError(f"{self.text!r} has no name after $(")
        self.at = match.end()
        arguments: list[Template] = []
        while self._peek() == " ":
            self.at += 1
            arguments.append(self._argument(quote))
        if self._peek() != ")":
            raise LaunchError(f"{self.text!r} lacks the ) of $({match[0]}")
        self.at += 1
        return Substitution(match[0], tuple(arguments))

    def _argument(self, quote: str) -> Template:
        if not quote and self._peek() in ("'", '"'):
            self.at += 1
            return self.template(self.text[self.at - 1])
        parts: list[str | Substitution] = []
        while (character := self._peek()) not in ("", " ", ")", quote or ")"):
            parts.append(self._part(character, quote))
        if not parts:
            raise LaunchError(f"{self.text!r} has an empty argument; write '' for an empty text")
        return _joined(parts)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]


def _joined(parts: Sequence[str | Substitution]) -> Template:
    """The same with neighbouring characters in one part."""
    joined: list[str | Substitution] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


def _var(scope: Scope, given: list[str]) -> str:
    if given[0] not in scope.values and len(given) == 1:
        known = ", ".join(sorted(scope.values)) or "none"
        raise LaunchError(f"no argument or value {given[0]!r}; known here are {known}")
    return scope.values.get(*given)  # type: ignore[call-overload,no-any-return]


def _env(scope: Scope, given: list[str]) -> str:
    if given[0] not in scope.environment and len(given) == 1:
        raise LaunchError(f"environment variable {given[0]} is not set, and has no default here")
    return scope.environment.get(*given)  # type: ignore[call-overload,no-any-return]


def _package(find: Callable[[str], str]) -> Callable[[Scope, list[str]], str]:
    def function(_: Scope, given: list[str]) -> str:
        try:
            return find(given[0])
        except (PackageNotFoundError, ValueError):
            searched = os.environ.get("AMENT_PREFIX_PATH") or "nothing: AMENT_PREFIX_PATH is empty"
            raise LaunchError(f"package {given[0]!r} not found in {searched}") from None

    return function


def _equals(left: str, right: str) -> bool:
    """As texts, except that truths and numbers are compared by value."""
    if left.lower() in TRUE + FALSE and right.lower() in TRUE + FALSE:
        return is_true(left) == is_true(right)
    try:
        return math.isclose(float(left), float(right))
    except ValueError:
        return left == right


def _truth(function: Callable[[list[str]], bool]) -> Callable[[Scope, list[str]], str]:
    return lambda _, given: "true" if function(given) else "false"


SUBSTITUTIONS: dict[str, tuple[int, int, Callable[[Scope, list[str]], str]]] = {
    "and": (2, 2, _truth(lambda given: is_true(given[0]) and is_true(given[1]))),
    "dirname": (0, 0, lambda scope, _: str(scope.file.parent)),
    "env": (1, 2, _env),
    "equals": (2, 2, _truth(lambda given: _equals(*given))),
    "filename": (0, 0, lambda scope, _: str(scope.file)),
    "find-pkg-prefix": (1, 1, _package(get_package_prefix)),
    "find-pkg-share": (1, 1, _package(get_package_share_directory)),
    "not": (1, 1, _truth(lambda given: not is_true(given[0]))),
    "not-equals": (2, 2, _truth(lambda given: not _equals(*given))),
    "or": (2, 2, _truth(lambda given: is_true(given[0]) or is_true(given[1]))),
    "var": (1, 2, _var),
}
"""Fewest and most arguments, and the function, of every substitution."""
