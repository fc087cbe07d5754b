"""The tree in the README: one line for each module and each file at the top, none for what is not
there.

The rules of the tree, which is the fenced block of the README's section "The tree":
- A line is a name, at least two blanks, and what the file or folder is for. A folder's name ends
  in "/". What a folder contains stands below it, indented by two more blanks.
- At the top, every file and folder is named that git does not ignore, but for hidden ones (".ci")
  and the README itself.
- Below course_utils/, every module and every subpackage is named, but for __init__.py.
- In any other folder, a line may name what is in it, and need not.
- What is named exists, or git ignores it (work/).
- A name with "*" stands for the files that it matches, at least one: the checks of the notebooks,
  so that a new notebook needs no new line.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "course_utils"
PATTERNS_ALLOWED_IN = f"{PACKAGE}/checks"
LINE = re.compile(r"(?P<indent> *)(?P<name>\S+) {2,}(?P<meaning>\S.*)")


@dataclass(frozen=True)
class Entry:
    """One line of the tree."""

    path: str
    """From the repository's root, without a slash at the end."""
    is_folder: bool


def block(readme: str) -> list[str]:
    """The lines of the tree. ValueError if the README has none."""
    found = re.search(r"(?ms)^## The tree\n+```\w*\n(.*?)^```$", readme)
    if found is None:
        raise ValueError('README.md lacks the section "## The tree" with a fenced block')
    return found[1].splitlines()


def entries(lines: list[str]) -> list[Entry]:
    """The tree, line by line. ValueError names the line that has not the form of one."""
    parents: list[str] = []
    tree = []
    for line in lines:
        match = LINE.fullmatch(line)
        depth = len(match["indent"]) // 2 if match else 0
        if match is None or len(match["indent"]) % 2 or depth > len(parents):
            raise ValueError(
                f"expected a name, two blanks and a meaning, indented by two blanks per folder, "
                f"got {line!r}"
            )
        path = "/".join([*parents[:depth], match["name"].rstrip("/")])
        is_folder = match["name"].endswith("/")
        parents = [*parents[:depth], match["name"].rstrip("/")] if is_folder else parents[:depth]
        tree.append(Entry(path, is_folder))
    return tree


def ignored(root: Path) -> list[str]:
    """The names that git ignores."""
    lines = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    return [line.rstrip("/") for line in lines if line and not line.startswith("#")]


def expected(root: Path) -> set[str]:
    """The paths that the tree must name."""
    skipped = [".*", "README.md", *ignored(root)]
    paths = {
        path.name
        for path in root.iterdir()
        if not any(fnmatch(path.name, pattern) for pattern in skipped)
    }
    for module in (root / PACKAGE).rglob("*.py"):
        if module.name == "__init__.py":
            module = module.parent  # a subpackage
        paths.add(module.relative_to(root).as_posix())
    return paths


def problems(root: Path) -> list[str]:
    """What the tree lacks, and what it should not name."""
    tree = entries(block((root / "README.md").read_text(encoding="utf-8")))
    found = []
    named: set[str] = set()
    for entry in tree:
        if entry.path in named:
            found.append(f"named twice: {entry.path}")
        named.add(entry.path)
        if "*" in entry.path:
            matched = {path.relative_to(root).as_posix() for path in root.glob(entry.path)}
            named |= matched
            if not matched:
                found.append(f"matches nothing: {entry.path}")
            if Path(entry.path).parent.as_posix() != PATTERNS_ALLOWED_IN:
                found.append(f"no pattern is allowed here: {entry.path}")
        elif not (root / entry.path).exists():
            if entry.path not in ignored(root):
                found.append(f"does not exist: {entry.path}")
        elif (root / entry.path).is_dir() != entry.is_folder:
            found.append(f"a folder's name ends in a slash, a file's does not: {entry.path}")
    found += [f"not named: {path}" for path in sorted(expected(root) - named)]
    return found


def test_the_readme_names_what_exists_and_nothing_else() -> None:
    found = problems(ROOT)
    assert not found, "the tree in README.md:\n" + "\n".join(found)


# --- the test itself, on a small repository -------------------------------------------------------

TREE = """\
course_utils/     the code
  config.py         settings
  checks/           the exercises' checks
    n*.py             one module per notebook
  data/             data sets
    splits.py         parts of them
Makefile          the commands
work/             your copy
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository with a package of four modules, whose tree is TREE."""
    for name in (
        "course_utils/__init__.py",
        "course_utils/config.py",
        "course_utils/checks/__init__.py",
        "course_utils/checks/n00_start.py",
        "course_utils/checks/n01_words.py",
        "course_utils/data/__init__.py",
        "course_utils/data/splits.py",
        ".hidden",
        "Makefile",
        "stray.tmp",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("work/\n\n*.tmp\n", encoding="utf-8")
    write(tmp_path, TREE)
    return tmp_path


def write(root: Path, tree: str) -> None:
    """Give the small repository a README with this tree."""
    readme = f"# Course\n\n## The tree\n\n```\n{tree}```\n"
    (root / "README.md").write_text(readme, encoding="utf-8")


def test_a_whole_tree_has_no_problems(small: Path) -> None:
    assert problems(small) == []


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ("LICENSE", "not named: LICENSE"),
        ("course_utils/files.py", "not named: course_utils/files.py"),
        ("course_utils/data/hub.py", "not named: course_utils/data/hub.py"),
        ("course_utils/text/__init__.py", "not named: course_utils/text"),
        ("docs/picture.png", "not named: docs"),
    ],
)
def test_a_new_file_is_asked_for(small: Path, new: str, problem: str) -> None:
    (small / new).parent.mkdir(exist_ok=True)
    (small / new).touch()
    assert problems(small) == [problem]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("  config.py ", "  configs.py", "does not exist: course_utils/configs.py"),
        ("work/", "play/", "does not exist: play"),
        ("    n*.py", "    x*.py", "matches nothing: course_utils/checks/x*.py"),
        ("    splits.py", "    s*.py    ", "no pattern is allowed here: course_utils/data/s*.py"),
        ("  data/", "  data ", "a folder's name ends in a slash"),
        ("Makefile ", "Makefile/", "a folder's name ends in a slash"),
        ("work/   ", "Makefile", "named twice: Makefile"),
    ],
)
def test_a_wrong_line_is_noticed(small: Path, before: str, after: str, problem: str) -> None:
    assert TREE.count(before) == 1
    tree = TREE.replace(before, after)
    if after.strip() == "data":
        tree = tree.replace("    splits.py         parts of them\n", "")
    write(small, tree)
    assert any(found.startswith(problem) for found in problems(small))


@pytest.mark.parametrize("line", ["config.py", "   config.py  odd", "      deep.py  too deep", ""])
def test_a_line_of_another_form_is_refused(small: Path, line: str) -> None:
    write(small, f"course_utils/  the code\n{line}\n")
    with pytest.raises(ValueError, match="expected a name, two blanks and a meaning"):
        problems(small)


def test_a_readme_without_a_tree_is_refused(small: Path) -> None:
    (small / "README.md").write_text("# Course\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the section"):
        problems(small)
