"""Commands and links of the documents: the verbs, options, launch arguments and files exist."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest
from mx_launch.description import declared_arguments

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_loader = SourceFileLoader("mx_script", str(ROOT / "mx"))
mx = module_from_spec(spec_from_loader("mx_script", _loader))  # type: ignore[arg-type]
_loader.exec_module(mx)


def commands() -> list[tuple[str, str]]:
    """Every `./mx ...` of the documents, with where it stands."""
    found = []
    for document in DOCUMENTS:
        fenced = False
        for number, line in enumerate(document.read_text().splitlines(), 1):
            fenced ^= line.strip().startswith("```")
            where = f"{document.name}:{number}"
            if fenced and line.strip().startswith("./mx "):
                found.append((where, line.strip().partition("  #")[0]))
            found += [(where, text) for text in re.findall(r"`(\./mx [^`]+)`", line)]
    return found


@cache
def help_of(verb: str, *more: str) -> str:
    """What `./mx VERB ... --help` prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        importlib.import_module(mx.verb_modules()[verb]).main([*more, "--help"])
    return output.getvalue()


@pytest.mark.parametrize(("where", "command"), commands())
def test_commands_name_verbs_options_and_arguments_that_exist(where: str, command: str) -> None:
    _, verb, *words = shlex.split(command.replace("...", "").replace("<", "").replace(">", ""))
    if verb in ("setup", "VERB", "help"):
        return
    assert verb in mx.verb_modules(), f"{where}: no verb {verb}"
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    subverb = words[:1] if verb in ("train", "bench") and words and words[0][0] != "-" else []
    known = set(re.findall(r"--[a-z][\w-]*", help_of(verb, *subverb)))
    assert set(options) <= known, f"{where}: {verb} has no {set(options) - known}"
    if verb == "launch" and words:
        arguments = {argument.name: argument for argument in declared(words[0])}
        for name, value in (word.split(":=") for word in words if ":=" in word):
            assert name in arguments, f"{where}: {words[0]} has no {name}"
            choices = arguments[name].choices
            assert not choices or value in choices, f"{where}: {name} is none of {choices}"


def declared(file: str):
    return declared_arguments(ROOT / "launch" / file) if file.endswith(".xml") else ()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.name))
def test_links_and_files_of_the_documents_exist(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
    for file in re.findall(
        r"`((?:tests|launch|docs|mx_\w+|underlay|requirements)/[\w./]+\.\w+)`", text
    ):
        inside = ROOT / file.partition("/")[0] / file  # a module, as Python names it
        assert (ROOT / file).exists() or inside.exists(), f"{document.name} names {file}"
