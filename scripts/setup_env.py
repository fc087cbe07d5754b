"""Create or update .venv, with everything that the course needs: python scripts/setup_env.py

make calls this before each target; where there is no make (Windows), call it yourself. Standard
library only. Up to date, it does nothing. It brings .venv up to date when requirements.lock or
pyproject.toml changed, carries on where an earlier run was ended, and mends .venv if a package is
missing. Two at once wait for each other.

torch is the one package that is not in the lock, since every kind of machine has its own build. The
environment variable TORCH chooses it:
  (not set)            a torch that is already there, in .venv or for the Python that runs this;
                       else the pinned one: on Linux the CPU build, or with a GPU in sight the build
                       for that
  TORCH=installed      a torch that is already there; an error if there is none
  TORCH=cpu            the CPU build of the pinned one, also with a GPU
  TORCH=any            the pinned one in whatever build pip chooses: on Linux with CUDA, gigabytes
                       of it
  TORCH="torch==X ..." what to hand to "pip install", an --index-url included
.venv remembers the choice until another one is made.
"""

import signal
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said in words here, before newer syntax fails
    raise SystemExit(
        f"Words to BERT needs Python 3.11 or newer, but {sys.executable} is "
        f"{sys.version.split()[0]}.\n"
        "Install a newer one (python.org), or name one that you have: make lab PYTHON=python3.12"
    )
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports: no traceback

import argparse
import functools
import hashlib
import importlib.util
import os
import re
import shlex
import subprocess
from pathlib import Path

import setup_commands
import setup_stamp as stamp
import setup_torch
from setup_commands import SIGNALS, Stopped

ROOT = Path(__file__).resolve().parent.parent
PINNED_TORCH = setup_torch.PINNED
PROJECT = "words-to-bert"
# Whatever else is missing or broken, one of these does not import.
IMPORTED = (
    "torch",
    "transformers",
    "datasets",
    "tokenizers",
    "accelerate",
    "safetensors",
    "numpy",
    "scipy",
    "pyarrow",
    "sklearn",
    "matplotlib.pyplot",
    "jupyterlab",
    "ipykernel",
    "ipywidgets",
    "course_utils",
)


def venv_python(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_packages(venv: Path) -> Path:
    """Where a virtual environment keeps its packages."""
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(setup_commands.run([venv_python(venv), "-c", question], quiet=True).strip())


def fingerprint(root: Path) -> str:
    """Changes whenever .venv has to: with a pin, with pyproject.toml, or when the folder moves."""
    digest = hashlib.sha256(f"{root}\n{PINNED_TORCH}\n".encode())
    for name in ("requirements.lock", "pyproject.toml"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def is_ready(venv: Path, wanted: str, pins: str) -> bool:
    """True if the last set-up finished, with these pins and this choice of torch,
    and nothing has gone since.

    Only looks: it must work in a .venv that others share read-only, and while another set-up runs.
    """
    state = stamp.read_state(venv)
    if state.get("phase") != stamp.READY or state.get("pins") != pins:
        return False
    if wanted not in ("", setup_torch.INSTALLED, state.get("torch")):
        return False
    python = venv_python(
        venv
    )  # where it points to changes when the Python below is replaced by another version
    if not python.exists() or os.path.realpath(python) != state.get("python"):
        return False
    if state["torch"] == setup_torch.OUTSIDE and not setup_torch.linked(venv / state["site"]):
        return False
    return not stamp.missing(venv / state["site"], state["installed"])


@functools.cache
def pinned(root: Path) -> frozenset[str]:
    """The names in the lock."""
    lines = (root / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return frozenset(
        stamp.normal(line.split("==")[0]) for line in lines if re.match(r"[\w.-]+==", line)
    )


def is_ours(name: str, root: Path) -> bool:
    """True if the set-up brings this package. What you installed beside it is your own."""
    return name in pinned(root) or name in (PROJECT, "pip") or bool(stamp.WITH_TORCH.match(name))


def create(venv: Path, torch: str = "") -> None:
    """Make an empty virtual environment; whatever was there before is removed,
    except the stamp and the lock.

    The stamp comes first and outlives it: Python stands in the folder some seconds before pip does.
    It also keeps the choice of torch.
    """
    print(f"Creating {venv.name} with Python {sys.version.split()[0]} ...", flush=True)
    stamp.write_state(venv, stamp.CREATING, torch=torch)
    stamp.empty(venv)
    try:
        setup_commands.run([getattr(sys, "_base_executable", sys.executable), "-m", "venv", venv])
    except subprocess.CalledProcessError as error:
        if importlib.util.find_spec("ensurepip") is None:
            raise SystemExit(
                "Python could not make a virtual environment (see above). On Debian and Ubuntu "
                "that needs a package of its own: sudo apt install python3-venv"
            ) from error
        raise SystemExit(
            "Python could not make a virtual environment; its own message stands above. "
            "Once mended (disk full?), run the same command again."
        ) from error


def usable(venv: Path, phase: str) -> Path | None:
    """The site-packages of .venv; None if it has to be made anew: half made, does not import,
    or has no whole pip.
    """
    if phase in (stamp.CREATING, stamp.BROKEN) or not venv_python(venv).exists():
        return None
    try:
        site = site_packages(venv)
    except (subprocess.CalledProcessError, OSError):  # its Python is there, but does not run
        return None
    infos = stamp.records(site).get("pip", [])
    return site if len(infos) == 1 and stamp.is_whole(infos[0]) else None


def clean_up(site: Path, root: Path, installed: dict[str, list[str]]) -> None:
    """Forget each package that is gone or there only in part,
    so that pip installs it as if it had never been.
    """
    stamp.sweep(site)
    lost = stamp.missing(
        site, {name: kept for name, kept in installed.items() if is_ours(name, root)}
    )
    broken = sorted({*lost, *stamp.damaged(site, lambda name: is_ours(name, root))})
    if broken:
        print(
            f"Missing or incomplete in .venv: {', '.join(broken)}. Installing again ...", flush=True
        )
    if any(stamp.WITH_TORCH.match(name) for name in broken):
        broken.append("torch")  # what came with torch comes back with torch
    for name in broken:
        stamp.forget(site, name)


def install(venv: Path, site: Path, choice: str, previous: str, root: Path) -> None:
    """Install the lock, torch, and the project itself.
    The lock is complete: pip has nothing to resolve.

    torch comes second: the lock brings the uv that finds its build, and what the CPU build needs.
    """
    python = venv_python(venv)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    print("Installing the pinned packages (a minute or two) ...", flush=True)
    setup_commands.run([*pip, "--require-hashes", "--requirement", root / "requirements.lock"])
    setup_torch.install(choice, previous, python, venv, site, root)
    # Quiet: the build warns that it is an editable installation, which is what is asked for.
    setup_commands.run([*pip, "--no-build-isolation", "--editable", root], quiet=True)


def try_out(venv: Path) -> None:
    """Import what matters, in a process of its own."""
    print("Trying it out ...", flush=True)
    # -P: without the current folder, so that course_utils is found as a notebook finds it.
    check = f"import {', '.join(IMPORTED)}\nprint('Ready, with torch', torch.__version__)"
    print(
        setup_commands.run([venv_python(venv), "-P", "-c", check], quiet=True).splitlines()[-1],
        flush=True,
    )


def bring_up_to_date(root: Path, venv: Path, wanted: str, pins: str) -> dict[str, object]:
    """Install whatever is missing; returns what the stamp should say then.
    Until then it says how far this came.
    """
    state = stamp.read_state(venv)
    previous = state.get("torch", "")
    site = usable(venv, state.get("phase", ""))
    if site is None:
        create(venv, previous)
        site = site_packages(venv)
    stamp.write_state(venv, stamp.INSTALLING, torch=previous, pins=pins)
    clean_up(site, root, state.get("installed", {}))
    if previous == setup_torch.IN_VENV and not setup_torch.in_venv(site, root):
        previous = ""  # nobody but its owner can bring that one back
    choice = setup_torch.choose(wanted, previous, venv, site, root)
    stamp.write_state(venv, stamp.INSTALLING, torch=choice, pins=pins)
    phase = stamp.FAILED
    try:
        install(venv, site, choice, previous, root)
        phase = stamp.BROKEN  # all is installed: if it does not work now, only a new start can help
        try_out(venv)
    except subprocess.CalledProcessError as error:
        stamp.write_state(venv, phase, torch=choice, pins=pins)
        raise SystemExit(explain(error, phase)) from None
    return {
        "torch": choice,
        "pins": pins,
        "site": os.path.relpath(site, venv),
        "python": os.path.realpath(venv_python(venv)),
        "installed": stamp.inventory(site, lambda name: is_ours(name, root)),
    }


def explain(error: subprocess.CalledProcessError, phase: str) -> str:
    """What failed, and what to do."""
    if phase == stamp.BROKEN:
        return (
            f"{error.stderr or ''}\n"
            "Everything is installed, but it does not import; the reason stands above.\n"
            "Run the same command again: it makes .venv anew."
        )
    return (
        f"{error.stderr or ''}\nThe set-up failed at: {shlex.join(map(str, error.cmd))}\n"
        "Its own message stands above. Once mended (network? disk full?), run the same command "
        "again: it carries on."
    )


def set_up(root: Path, wanted: str) -> None:
    """Make .venv what the pins and TORCH ask for; nothing to do if it is."""
    venv, pins = root / ".venv", fingerprint(root)
    if is_ready(venv, wanted, pins):
        return
    with stamp.alone(venv) as lock:
        if is_ready(venv, wanted, pins):  # another set-up was faster
            print("Ready.", flush=True)
            return
        with stamp.surroundings(venv, lock):
            done = bring_up_to_date(root, venv, wanted, pins)
        stamp.write_state(venv, stamp.READY, **done)


def set_up_bare(root: Path) -> None:
    """Only make sure that there is a .venv with pip."""
    venv = root / ".venv"
    with stamp.alone(venv) as lock, stamp.surroundings(venv, lock):
        if usable(venv, stamp.read_state(venv).get("phase", "")) is None:
            create(venv)
            stamp.write_state(venv, stamp.INSTALLING)


def main() -> int:
    """Set .venv up, or with --bare only make sure that there is one. Returns the exit status."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--bare", action="store_true", help="only make sure that .venv exists")
    bare = parser.parse_args().bare
    SIGNALS.catch()
    try:
        if bare:
            set_up_bare(ROOT)
        else:
            set_up(ROOT, os.environ.get("TORCH", "").strip())
    except Stopped as stopped:
        print("Stopped. Run the same command again to go on.", file=sys.stderr)
        return 128 + stopped.number
    except OSError as error:
        print(
            f"The set-up could not go on: {error}\nOnce mended (disk full? a folder that belongs "
            "to another user? a program that still uses .venv?), run the same command again.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
