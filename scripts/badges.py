"""Write the Colab and Binder badges, and each notebook's Colab part,
from the address in pyproject.toml.

python scripts/badges.py           write them into the README and all notebooks
python scripts/badges.py --check   change nothing; exit code 1 if anything differs
"""

import argparse
import os
import re
import sys
import tomllib
from pathlib import Path

import nbformat
from run_notebooks import ROOT, notebook_paths, read_notebook, write_notebook

BRANCH = "main"
START = "notebooks/00_start_here.ipynb"  # where the README's badges lead
BADGES_BEGIN, BADGES_END = (
    "<!-- badges (written by scripts/badges.py) -->",
    "<!-- end of badges -->",
)
COLAB_BEGIN, COLAB_END = "# --- colab (written by scripts/badges.py) ---", "# --- end of colab ---"


def repository(root: Path = ROOT) -> str:
    """The address in pyproject.toml, https://github.com/OWNER/NAME;
    raises ValueError for anything else.
    """
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    url = urls["Repository"].removesuffix("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise ValueError(
            f"Repository in pyproject.toml must be https://github.com/OWNER/NAME, got {url}"
        )
    return url


def badges(url: str, notebook: str) -> str:
    """Markdown that opens `notebook` (a path inside the repository) in Colab and in Binder."""
    slug = url.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{slug}/blob/{BRANCH}/{notebook}"
    binder = f"https://mybinder.org/v2/gh/{slug}/{BRANCH}?urlpath=lab/tree/{notebook}"
    return "\n".join(
        [
            BADGES_BEGIN,
            f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})",
            f"[![Launch on Binder](https://mybinder.org/badge_logo.svg)]({binder})",
            BADGES_END,
        ]
    )


def colab_part(url: str, folder: str) -> str:
    """Python that on Colab fetches the course, once, and enters `folder`;
    elsewhere it does nothing.

    It installs nothing: Colab has what the course needs. Run twice, or after a restart, it finds
    the course in place.
    """
    name = url.rsplit("/", 1)[1]
    up = "/".join([".."] * len(Path(folder).parts))
    return "\n".join(
        [
            COLAB_BEGIN,
            "import os",
            "import sys",
            "",
            f'if "google.colab" in sys.modules and not os.path.exists("{up}/course_utils"):',
            f'    if os.system("test -d {name} || git clone -q --depth 1 {url}"):',
            (
                '        raise RuntimeError("git could not fetch the course: is the network on? '
                'Run this cell again.")'
            ),
            f'    os.chdir("{name}/{folder}")',
            f'    sys.path.insert(0, os.path.abspath("{up}"))',
            COLAB_END,
        ]
    )


def replace_block(text: str, begin: str, end: str, block: str) -> str | None:
    """The text with what stands between two markers replaced; None if the markers are not there."""
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: block, text, count=1) if pattern.search(text) else None


def below_title(text: str, block: str) -> str:
    """The text with the block set below its first line."""
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{block}\n\n{rest.lstrip()}".rstrip()


def with_badges(text: str, block: str) -> str:
    """Markdown with its badges brought up to date, or set below its title."""
    return replace_block(text, BADGES_BEGIN, BADGES_END, block) or below_title(text, block)


def update_notebook(notebook: nbformat.NotebookNode, url: str, path: str) -> nbformat.NotebookNode:
    """Bring the badges of the first cell and the Colab part of the first code cell up to date."""
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        raise ValueError(f"{path} must begin with a markdown cell that begins with the title")
    first.source = with_badges(first.source, badges(url, path))
    setup = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    if setup is None:
        raise ValueError(f"{path} has no code cell to put the Colab part in")
    part = colab_part(url, Path(path).parent.as_posix())
    replaced = replace_block(setup.source, COLAB_BEGIN, COLAB_END, part)
    setup.source = replaced or f"{part}\n\n{setup.source}".rstrip()
    return notebook


def stale_files(root: Path = ROOT, *, write: bool) -> list[Path]:
    """The files whose badges or Colab part differ from pyproject.toml;
    with `write`, they are mended.
    """
    url, stale = repository(root), []
    for path in notebook_paths(root):
        before, after = read_notebook(path), read_notebook(path)
        if update_notebook(after, url, path.relative_to(root).as_posix()) != before:
            stale.append(path)
            if write:
                write_notebook(after, path)
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    wanted = with_badges(text.rstrip(), badges(url, START)) + "\n"
    if wanted != text:
        stale.append(readme)
        if write:
            unfinished = readme.with_name("README.md.tmp")
            unfinished.write_text(wanted, encoding="utf-8")
            os.replace(unfinished, readme)
    return stale


def main() -> int:
    """Write, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit code 1 if any differs"
    )
    check = parser.parse_args().check
    stale = stale_files(write=not check)
    for path in stale:
        print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}")
    if stale and check:
        print("Run: python scripts/badges.py", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
