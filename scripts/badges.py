"""Write the README's Colab and Binder badges from the address in pyproject.toml.

python scripts/badges.py           write them
python scripts/badges.py --check   change nothing; exit code 1 if they differ

The notebooks have links instead, which scripts/first_cells.py writes.
"""

import argparse
import os
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"
START = "notebooks/00_start_here.ipynb"  # where the README's badges lead
BADGES_BEGIN = "<!-- badges (written by scripts/badges.py) -->"
BADGES_END = "<!-- end of badges -->"


def address_of(root: Path = ROOT) -> str:
    """The repository's address in pyproject.toml, https://github.com/OWNER/NAME.
    Raises ValueError for anything else.
    """
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    address = urls["Repository"].removesuffix("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise ValueError(
            f"Repository in pyproject.toml must be https://github.com/OWNER/NAME, got {address}"
        )
    return address


def colab_address(address: str, notebook: str) -> str:
    """What opens `notebook`, a path inside the repository, in Colab."""
    slug = address.removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{slug}/blob/{BRANCH}/{notebook}"


def binder_address(address: str, notebook: str) -> str:
    """What opens `notebook`, a path inside the repository, in Binder."""
    slug = address.removeprefix("https://github.com/")
    return f"https://mybinder.org/v2/gh/{slug}/{BRANCH}?urlpath=lab/tree/{notebook}"


def badges(address: str) -> str:
    """Markdown: the badges that open the first notebook."""
    colab_picture = "https://colab.research.google.com/assets/colab-badge.svg"
    binder_picture = "https://mybinder.org/badge_logo.svg"
    return "\n".join(
        [
            BADGES_BEGIN,
            f"[![Open in Colab]({colab_picture})]({colab_address(address, START)})",
            f"[![Launch on Binder]({binder_picture})]({binder_address(address, START)})",
            BADGES_END,
        ]
    )


def replace_block(text: str, begin: str, end: str, block: str) -> str | None:
    """The text with what stands between two markers replaced; None if the markers are not there."""
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: block, text, count=1) if pattern.search(text) else None


def put_below_title(text: str, block: str, begin: str, end: str) -> str:
    """Markdown with its block between the markers brought up to date, or set below its title."""
    replaced = replace_block(text, begin, end, block)
    if replaced is not None:
        return replaced
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{block}\n\n{rest.lstrip()}".rstrip()


def update_readme(root: Path = ROOT, *, write: bool) -> bool:
    """Whether the README's badges differ from what they should be; `write` mends them."""
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    block = badges(address_of(root))
    wanted = put_below_title(text.rstrip(), block, BADGES_BEGIN, BADGES_END) + "\n"
    if wanted == text:
        return False
    if write:
        unfinished = readme.with_name("README.md.tmp")
        unfinished.write_text(wanted, encoding="utf-8")
        os.replace(unfinished, readme)
    return True


def main() -> int:
    """Write, or with --check compare; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if stale")
    check = parser.parse_args().check
    stale = update_readme(write=not check)
    if stale and check:
        print("README.md's badges differ. Run: python scripts/badges.py", file=sys.stderr)
    elif stale:
        print("written: README.md")
    return int(check and stale)


if __name__ == "__main__":
    raise SystemExit(main())
