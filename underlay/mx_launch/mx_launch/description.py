"""From a launch file and its arguments to the processes to start."""

from __future__ import annotations

import os
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import get_package_prefix

from mx_launch.document import Element, LaunchError, read_launch_file
from mx_launch.parameters import write_parameters
from mx_launch.substitutions import Scope, is_true, parse, perform, text_of

_OUTPUTS = ("both", "full", "log", "own_log", "screen")


@dataclass(frozen=True)
class Process:
    """One process to start. Times are in seconds; `respawn_max_retries` below 0 means no limit."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str | None
    required: bool
    respawn: bool
    respawn_delay: float
    respawn_max_retries: int
    sigterm_timeout: float
    sigkill_timeout: float


@dataclass(frozen=True)
class Argument:
    """An `<arg>` as it stands in its file; `default` is None where a value must be given."""

    name: str
    default: str | None
    description: str
    choices: tuple[str, ...]


def describe(path: Path, given: Mapping[str, str], scratch: Path) -> list[Process]:
    """The processes of a launch file, in the order to start them.

    Parameters of nodes are written as files into the folder `scratch`, which must outlive the
    processes. Raises LaunchError, with file and line where there is one, before anything starts.
    """
    known = [argument.name for argument in declared_arguments(path)]
    for name in given:
        if name not in known:
            listing = ", ".join(known) or "none"
            raise LaunchError(f"unknown launch argument {name!r}; {path.name} knows {listing}")
    evaluation = _Evaluation(scratch)
    evaluation.file(path, Scope(path.resolve(), dict(given), dict(os.environ)))
    return evaluation.processes


def declared_arguments(path: Path) -> list[Argument]:
    """The arguments of a file and of those that it includes, each name once.

    An include whose file depends on an argument is not looked into.
    """
    found: dict[str, Argument] = {}
    for element in _declarations(path, ()):
        argument = Argument(
            element.attributes["name"],
            element.get("default"),
            element.attributes.get("description", ""),
            tuple(choice.attributes["value"] for choice in element.children),
        )
        found.setdefault(argument.name, argument)
    return list(found.values())


def _declarations(path: Path, above: tuple[Path, ...]) -> Iterator[Element]:
    scope = Scope(path.resolve(), {}, dict(os.environ))
    waiting = [read_launch_file(path)]
    while waiting:
        element = waiting.pop(0)
        if element.tag == "arg":
            yield element
        elif element.tag == "include":
            try:
                included = Path(perform(parse(element.attributes["file"]), scope))
            except LaunchError:
                continue  # it is reported with its place if it is still wrong when launching
            if included.is_file() and included not in above:
                yield from _declarations(included, (*above, path))
        else:
            waiting[:0] = element.children


class _Evaluation:
    """Walks through files from top to bottom, one method a tag, and collects processes."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.processes: list[Process] = []
        self._open_files: list[Path] = []
        self._names: Counter[str] = Counter()

    def file(self, path: Path, scope: Scope) -> None:
        """Walk through a whole file."""
        if path.resolve() in self._open_files:
            raise LaunchError(f"{path} includes itself")
        root = read_launch_file(path)
        outer, scope.file = scope.file, path.resolve()
        self._open_files.append(scope.file)
        self._actions(root, scope)
        self._open_files.pop()
        scope.file = outer

    def _actions(self, parent: Element, scope: Scope) -> None:
        for element in parent.children:
            if _wanted(element, scope):
                getattr(self, f"_{element.tag}")(element, scope)

    def _arg(self, element: Element, scope: Scope) -> None:
        name = element.attributes["name"]
        if name not in scope.values:
            if "default" not in element.attributes:
                about = element.attributes.get("description", "no description")
                raise element.error(f"argument {name!r} ({about}) has no value; give {name}:=VALUE")
            scope.values[name] = text_of(element, "default", scope)
        choices = [choice.attributes["value"] for choice in element.children]
        if choices and scope.values[name] not in choices:
            raise element.error(
                f"argument {name}:={scope.values[name]} is not one of {', '.join(choices)}"
            )

    def _let(self, element: Element, scope: Scope) -> None:
        scope.values[text_of(element, "name", scope)] = text_of(element, "value", scope)

    def _set_env(self, element: Element, scope: Scope) -> None:
        scope.environment[text_of(element, "name", scope)] = text_of(element, "value", scope)

    def _unset_env(self, element: Element, scope: Scope) -> None:
        scope.environment.pop(text_of(element, "name", scope), None)

    def _push_ros_namespace(self, element: Element, scope: Scope) -> None:
        namespace = text_of(element, "namespace", scope)
        scope.values["ros_namespace"] = _in_namespace(scope, namespace) or "/"

    def _group(self, element: Element, scope: Scope) -> None:
        scoped = _flag(element, "scoped", scope, default=True)
        self._actions(element, scope.copy() if scoped else scope)

    def _include(self, element: Element, scope: Scope) -> None:
        # As in ROS, an included file shares the values of this one, unless a group is around it.
        path = Path(text_of(element, "file", scope))
        for argument in element.children:
            self._let(argument, scope)
        if not path.is_file():
            raise element.error(f"included file {path} does not exist")
        self.file(path, scope)

    def _executable(self, element: Element, scope: Scope) -> None:
        command = _words(element, "cmd", scope)
        if not command or not shutil.which(command[0]):
            raise element.error(f"command {' '.join(command[:1])!r} not found")
        name = text_of(element, "name", scope) or Path(command[0]).name
        self._add(element, scope, name, command)

    def _node(self, element: Element, scope: Scope) -> None:
        package, executable = text_of(element, "pkg", scope), text_of(element, "exec", scope)
        name = text_of(element, "name", scope)
        namespace = _in_namespace(scope, text_of(element, "namespace", scope))
        command = [_executable_of(element, package, executable), *_words(element, "args", scope)]
        ros_arguments = _words(element, "ros_args", scope)
        if ros_arguments:
            command += ["--ros-args", *ros_arguments]
        command.append("--ros-args")
        if name:
            command += ["-r", f"__node:={name}"]
        if namespace:
            command += ["-r", f"__ns:={namespace}"]
        # A node of which the whole name is known gets its parameters by that name: they then come
        # before those that a file has for any node.
        full_name = f"{namespace.rstrip('/')}/{name}" if name and namespace else "/**"
        stem = f"{len(self.processes):02d}_{name or executable}"
        for path in write_parameters(element, scope, full_name, self.scratch, stem):
            command += ["--params-file", str(path)]
        for remap in element.all("remap"):
            source, target = text_of(remap, "from", scope), text_of(remap, "to", scope)
            command += ["-r", f"{source}:={target}"]
        label = text_of(element, "exec_name", scope) or name or executable
        self._add(element, scope, label, command)

    def _add(self, element: Element, scope: Scope, name: str, command: list[str]) -> None:
        on_exit = text_of(element, "on_exit", scope)
        if on_exit not in ("", "shutdown"):
            raise element.error(f"on_exit={on_exit!r} is not 'shutdown'")
        output = text_of(element, "output", scope)
        if output and output not in _OUTPUTS:
            raise element.error(f"output={output!r} is not one of {', '.join(_OUTPUTS)}")
        environment = dict(scope.environment)
        for variable in element.all("env"):
            environment[text_of(variable, "name", scope)] = text_of(variable, "value", scope)
        self._names[name] += 1
        self.processes.append(
            Process(
                name=name if self._names[name] == 1 else f"{name}-{self._names[name]}",
                command=tuple(command),
                environment=environment,
                cwd=text_of(element, "cwd", scope) or None,
                required=on_exit == "shutdown",
                respawn=_flag(element, "respawn", scope, default=False),
                respawn_delay=_number(element, "respawn_delay", scope, 0.0),
                respawn_max_retries=int(_number(element, "respawn_max_retries", scope, -1)),
                sigterm_timeout=_number(element, "sigterm_timeout", scope, 5.0),
                sigkill_timeout=_number(element, "sigkill_timeout", scope, 5.0),
            )
        )


def _wanted(element: Element, scope: Scope) -> bool:
    return _flag(element, "if", scope, default=True) and not _flag(
        element, "unless", scope, default=False
    )


def _flag(element: Element, name: str, scope: Scope, *, default: bool) -> bool:
    if name not in element.attributes:
        return default
    try:
        return is_true(text_of(element, name, scope))
    except LaunchError as error:
        raise element.error(f"{name}: {error}") from None


def _number(element: Element, name: str, scope: Scope, default: float) -> float:
    text = text_of(element, name, scope)
    try:
        return float(text) if text else default
    except ValueError:
        raise element.error(f"{name}={text!r} is not a number") from None


def _words(element: Element, name: str, scope: Scope) -> list[str]:
    """A command line in words, as a shell splits it; what a substitution gives is never split.

    It needs no quotes, therefore, and ROS allows none around it.
    """
    try:
        template = parse(element.attributes.get(name, ""))
        for part in template:
            if isinstance(part, str):
                shlex.split(part)  # as ROS does: quotes close before a substitution
        values = [perform((part,), scope) for part in template]
        # Stand-ins from a private range of Unicode keep values whole while the rest is split.
        marks = {chr(0xE000 + index): value for index, value in enumerate(values)}
        line = "".join(
            part if isinstance(part, str) else mark
            for part, mark in zip(template, marks, strict=True)
        )
        words = shlex.split(line)
    except (LaunchError, ValueError) as error:
        raise element.error(f"{name}: {error}") from None
    return ["".join(marks.get(character, character) for character in word) for word in words]


def _in_namespace(scope: Scope, namespace: str) -> str:
    """An absolute namespace within the pushed one; empty where there is neither."""
    pushed = scope.values.get("ros_namespace", "")
    if namespace.startswith("/"):
        return namespace.rstrip("/") or "/"
    whole = f"{pushed}/{namespace}".strip("/")
    return f"/{whole}" if whole else pushed


def _executable_of(element: Element, package: str, executable: str) -> str:
    try:
        folder = Path(get_package_prefix(package)) / "lib" / package
    except (LookupError, ValueError):
        searched = os.environ.get("AMENT_PREFIX_PATH") or "nothing: AMENT_PREFIX_PATH is empty"
        raise element.error(f"package {package!r} not found in {searched}") from None
    path = folder / executable
    if not (path.is_file() and os.access(path, os.X_OK)):
        known = sorted(item.name for item in folder.glob("*") if os.access(item, os.X_OK))
        raise element.error(
            f"package {package!r} has no executable {executable!r}; it has "
            f"{', '.join(known) or 'none'}"
        )
    return str(path)
