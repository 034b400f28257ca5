"""Rules of the repository itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORES = [ROOT / "mx_capture" / "mx_capture", ROOT / "mx_perception" / "mx_perception"]
ROS_MODULES = re.compile(r"rclpy|cv_bridge|message_filters|rosgraph|\w+_(msgs|interfaces)$")
CODE = ("mx", "mx_capture", "mx_perception", "underlay", "tests")


def imports(file: Path) -> Iterator[str]:
    """The full name of every module that a Python file imports."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def test_core_imports_neither_ros_nor_messages() -> None:
    files = [file for core in CORES for file in core.rglob("*.py")]
    assert len(files) > 10
    shells = [
        file
        for file in files
        if file.name in ("conversions.py", "node_setup.py") or file.parent.name == "nodes"
    ]
    offences = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sorted({*files} - {*shells})
        for name in imports(file)
        if ROS_MODULES.match(name.partition(".")[0])
    ]
    assert not offences


def test_capture_does_not_import_perception() -> None:
    offences = [
        str(file.relative_to(ROOT))
        for file in CORES[0].rglob("*.py")
        for name in imports(file)
        if name.partition(".")[0] == "mx_perception"
    ]
    assert not offences


def test_every_requirement_is_pinned() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        lines = [line for line in file.read_text().splitlines() if line and line[0] != "#"]
        loose = [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
        assert lines and not loose, f"{file.name}: {loose}"


def test_no_file_is_larger_than_ten_megabytes() -> None:
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    large = [str(file) for file in files if file.is_file() and file.stat().st_size > 10_000_000]
    assert not large


@pytest.mark.parametrize("folder", ["launch", "mx_capture", "mx_msgs", "mx_perception"])
def test_package_is_described(folder: str) -> None:
    package = ElementTree.parse(ROOT / folder / "package.xml").getroot()
    assert package.get("format") == "3"
    assert package.findtext("license") == "Apache-2.0"
    changes = (ROOT / folder / "CHANGELOG.rst").read_text()
    version = package.findtext("version")
    assert version and (version in changes or "Forthcoming" in changes)
    setup = ROOT / folder / "setup.py"
    if setup.exists():
        assert f'version="{version}"' in setup.read_text()


def test_every_node_is_an_executable() -> None:
    for core in CORES:
        setup = (core.parent / "setup.py").read_text()
        for node in core.glob("nodes/*_node.py"):
            if re.search(r"^def main\(", node.read_text(), re.MULTILINE):
                listed = re.search(rf'"{node.stem}\b', setup)
                assert listed, f"{setup} does not list {node.stem}"


@pytest.mark.parametrize("check", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_ruff_finds_nothing(check: list[str]) -> None:
    paths = [str(ROOT / name) for name in CODE]
    command = [sys.executable, "-m", "ruff", *check, "--quiet", "--no-cache", *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_finds_nothing() -> None:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "mx", *map(str, CORES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


PACKAGES = [*ROOT.glob("*/package.xml"), *ROOT.glob("underlay/*/package.xml")]


@pytest.mark.parametrize("file", PACKAGES, ids=lambda file: str(file.parent.name))
def test_every_package_says_who_keeps_it_and_what_it_needs(file: Path) -> None:
    package = ElementTree.parse(file).getroot()
    assert package.get("format") == "3"
    assert package.findtext("license") == "Apache-2.0"
    assert package.find("maintainer").get("email") and package.findtext("author")
    assert " ".join(package.findtext("description").split()).endswith(".")
    if file.parent.parent.name == "underlay":
        assert package.find("url").text.startswith("https://")
    declared = {element.text for element in package if element.tag.endswith("depend")}
    used = {
        name.partition(".")[0]
        for source in (file.parent / file.parent.name).rglob("*.py")
        for name in imports(source)
    }
    needed = {name for name in used if ROS_MODULES.match(name)} - {package.findtext("name")}
    assert not needed - declared, f"{file.parent.name} does not declare {needed - declared}"
