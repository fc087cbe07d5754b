"""CHANGELOG.md and CITATION.cff: one version everywhere, and moved names that lead somewhere."""

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
MOVED = re.findall(r"(?m)^\| `([^`]+)` \| `([^`]+)` \|$", CHANGELOG)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


# --- the version ----------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere() -> None:
    released = re.findall(r"(?m)^## \[(\d[^\]]*)\]", CHANGELOG)
    assert released[0] == PROJECT["version"], "the newest version in CHANGELOG.md is pyproject's"
    assert CITATION["version"] == PROJECT["version"], "mend the version in CITATION.cff"


def test_the_changelog_has_its_form() -> None:
    first, *others = re.findall(r"(?m)^## (.*)$", CHANGELOG)
    assert first == "[Unreleased]"
    for heading in others:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading), heading
    dates = [heading.split(" - ")[1] for heading in others]
    assert dates == sorted(dates, reverse=True)
    assert set(re.findall(r"(?m)^### (.*)$", CHANGELOG)) <= KINDS


# --- what has moved -------------------------------------------------------------------------------


def is_there(name: str) -> bool:
    """Whether a path of the repository, a module, or a name in a module exists."""
    if name.endswith("/"):  # without its files, a folder may be what git left behind
        return any((ROOT / name).rglob("*.py"))
    if "/" in name:
        return any(ROOT.glob(name))
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return (
            bool(module)
            and is_there(module)
            and hasattr(importlib.import_module(module), attribute)
        )
    return True


def test_the_check_tells_what_exists_from_what_does_not() -> None:
    for name in (
        "course_utils.config",
        "course_utils.config.BertConfig",
        "tests/test_*.py",
        "data/",
    ):
        assert is_there(name)
    for name in ("course_utils.no", "course_utils.config.No", "tests/nothing_*.py", "nothing/"):
        assert not is_there(name)


@pytest.mark.parametrize(("before", "now"), MOVED)
def test_a_moved_name_is_gone_from_its_place_and_found_in_the_new_one(
    before: str, now: str
) -> None:
    assert is_there(now), f"{now} does not exist; CHANGELOG.md says that {before} is there now"
    assert not is_there(before), f"{before} still exists; CHANGELOG.md says that it has moved"


def test_the_table_is_found() -> None:
    assert len(MOVED) >= 10


# --- the citation ---------------------------------------------------------------------------------


def test_the_citation_says_what_pyproject_says() -> None:
    assert CITATION["repository-code"] == PROJECT["urls"]["Repository"], "mend CITATION.cff"
    assert CITATION["license"] == PROJECT["license"]
    holders = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert [author["name"] for author in CITATION["authors"]] == ["The Words to BERT authors"]
    assert CITATION["authors"][0]["name"] in holders


def test_the_citation_has_the_required_fields() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "abstract", "authors"} <= set(CITATION)
    for reference in CITATION["references"]:
        assert {"type", "title", "authors"} <= set(reference)
        for author in reference["authors"]:
            assert set(author) in ({"name"}, {"given-names", "family-names"})


def test_the_works_that_the_course_follows_are_cited() -> None:
    titles = " ".join(reference["title"] for reference in CITATION["references"])
    for part in (
        "大模型开发与微调",
        "BERT: Pre-training",
        "Attention Is All You Need",
        "Word Vectors",
    ):
        assert part in titles
