"""Create or update .venv, with everything that the course needs: python scripts/setup_env.py

make calls this before each target; where there is no make (Windows), call it yourself. Standard library only.
Up to date, it does nothing. It brings .venv up to date when requirements.lock or pyproject.toml changed, and
starts over when an earlier run was interrupted.

torch is the one package that is not in the lock, since every kind of machine has its own build. The
environment variable TORCH chooses it:
  (not set)            a torch that is already there, in .venv or for the Python that runs this; else the
                       pinned one
  TORCH=installed      the same, but an error if there is none
  TORCH="torch==X ..." what to hand to "pip install", an --index-url included
.venv remembers the choice until another one is made.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said in words here, before newer syntax fails
    raise SystemExit(
        f"Words to BERT needs Python 3.11 or newer, but {sys.executable} is {sys.version.split()[0]}.\n"
        "Install a newer one (python.org), or name one that you have: make lab PYTHON=python3.12"
    )

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED_TORCH = "torch==2.13.0"
BY_PIN = "the pin "  # before the pin of that day: nobody chose, so a new pin replaces it
IN_VENV = "already in .venv"  # the two choices that are no argument of pip
OUTSIDE = "already outside .venv"
NO_GPU = """No NVIDIA GPU in sight, but pip may still fetch torch with CUDA, gigabytes of it. If it does, stop
it (Ctrl-C) and take the CPU build: whatever https://pytorch.org/get-started/locally shows after "pip install"
goes into TORCH, as in: make lab TORCH="torch --index-url ..."
"""
STATE = "setup.json"  # in .venv: how far the set-up came ("installing", "failed" or "ready"), and with what
OUTSIDE_PTH = "torch_outside.pth"  # in .venv's site-packages: the folder of a torch installed elsewhere


def run(command: list[str | Path], *, quiet: bool = False) -> str:
    """Run a command; returns what it printed if quiet. Raises CalledProcessError if it fails."""
    kept = subprocess.PIPE if quiet else None
    done = subprocess.run(command, check=True, text=True, stdout=kept, stderr=kept)
    return done.stdout or ""


def venv_python(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_packages(venv: Path) -> Path:
    """Where a virtual environment keeps its packages."""
    return Path(run([venv_python(venv), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                    quiet=True).strip())


def fingerprint(root: Path) -> str:
    """Changes whenever .venv has to: with a pin, with pyproject.toml, or when the folder moves."""
    digest = hashlib.sha256(f"{root}\n{PINNED_TORCH}\n".encode())
    for name in ("requirements.lock", "pyproject.toml"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def read_state(venv: Path) -> dict[str, str]:
    """What the last set-up wrote down; empty if there was none."""
    try:
        return json.loads((venv / STATE).read_text())
    except (OSError, ValueError):
        return {}


def write_state(venv: Path, phase: str, torch: str, pins: str) -> None:
    """Write the state whole or not at all."""
    unfinished = venv / f"{STATE}.tmp"
    unfinished.write_text(json.dumps({"phase": phase, "torch": torch, "pins": pins}, indent=1))
    os.replace(unfinished, venv / STATE)


def is_ready(venv: Path, wanted: str, pins: str) -> bool:
    """True if the last set-up finished, with these pins and this choice of torch."""
    state = read_state(venv)
    return (state.get("phase") == "ready" and state.get("pins") == pins and venv_python(venv).exists()
            and wanted in ("", "installed", state.get("torch")))


def create(venv: Path) -> None:
    """Make an empty virtual environment; whatever was there before is removed."""
    print(f"Creating {venv.name} with Python {sys.version.split()[0]} ...", flush=True)
    try:
        run([getattr(sys, "_base_executable", sys.executable), "-m", "venv", "--clear", venv])
    except BaseException as error:
        shutil.rmtree(venv, ignore_errors=True)  # it holds a Python without pip, and would pass for one next time
        if not isinstance(error, subprocess.CalledProcessError):
            raise
        raise SystemExit("Python could not make a virtual environment (see above). On Debian and Ubuntu "
                         "that needs a package of its own: sudo apt install python3-venv") from error


def accepted(version: str, root: Path) -> bool:
    """True if pyproject.toml's range for torch admits this version."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    spec = next(line for line in project["dependencies"] if line.startswith("torch"))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    lowest = tuple(int(part) for part in re.search(r">=([\d.]+)", spec)[1].split("."))
    return lowest <= numbers < (int(re.search(r"<(\d+)", spec)[1]),)


def torch_in_venv(venv: Path, root: Path) -> str:
    """The version of the torch in .venv itself; empty without one that will do."""
    versions = [holder.stem.split("-")[1] for holder in site_packages(venv).glob("torch-*.dist-info")]
    return next((version for version in versions if accepted(version, root)), "")


def torch_outside(venv: Path, root: Path) -> Path | None:
    """The folder from which the Python that runs this imports torch; None without a torch that will do."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    folder, version = Path(spec.origin).parent.parent, importlib.metadata.version("torch")
    if venv in folder.parents:
        return None
    if not accepted(version, root):
        print(f"torch {version} in {folder} is outside the range of pyproject.toml; leaving it alone.")
        return None
    return folder


def choose_torch(wanted: str, remembered: str, venv: Path, root: Path) -> str:
    """Which torch to use: the one asked for, the one chosen before, one that is there, or the pinned one."""
    if wanted not in ("", "installed"):
        return wanted
    if remembered and not remembered.startswith(BY_PIN):
        return remembered
    here = torch_in_venv(venv, root)
    if here and (wanted or remembered != f"{BY_PIN}torch=={here.split('+')[0]}"):
        return IN_VENV  # asked for, or not the one that the pin of that day brought
    if not here and torch_outside(venv, root):
        return OUTSIDE
    if wanted == "installed":
        raise SystemExit("TORCH=installed, but there is no torch that will do, neither in .venv nor for "
                         f"{sys.executable}. Install one first, or leave TORCH out.")
    return BY_PIN + PINNED_TORCH


def install_torch(choice: str, previous: str, venv: Path, root: Path) -> None:
    """Bring the chosen torch into .venv: by pip, or by a link to the folder that has it."""
    link = site_packages(venv) / OUTSIDE_PTH
    link.unlink(missing_ok=True)
    if choice == OUTSIDE:
        folder = torch_outside(venv, root)
        if folder is None:
            raise SystemExit(f"The torch that .venv used is gone from {sys.executable}. Run: make clean")
        link.write_text(f"{folder}\n")
        print(f"Using the torch in {folder}.", flush=True)
    elif choice != IN_VENV:
        if previous not in ("", choice):  # another build of the same version would pass for installed
            run([venv_python(venv), "-m", "pip", "uninstall", "--yes", "--quiet", "torch"])
        if choice.startswith(BY_PIN) and sys.platform == "linux" and not shutil.which("nvidia-smi"):
            print(NO_GPU, flush=True)
        spec = choice.removeprefix(BY_PIN)
        print(f"Installing {spec} ...", flush=True)
        words = shlex.split(spec, posix=os.name != "nt")  # on Windows, a path keeps its backslashes
        run([venv_python(venv), "-m", "pip", "install", *words])


def install(venv: Path, choice: str, previous: str, root: Path) -> None:
    """Install torch, the lock and the project itself. The lock is complete: pip has nothing to resolve."""
    pip = [venv_python(venv), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    install_torch(choice, previous, venv, root)
    print("Installing the pinned packages (a minute or two) ...", flush=True)
    run([*pip, "--require-hashes", "--requirement", root / "requirements.lock"])
    run([*pip, "--no-build-isolation", "--editable", root])
    check = "import torch, course_utils; print('Ready, with torch', torch.__version__)"
    print(run([venv_python(venv), "-c", check], quiet=True).strip(), flush=True)


def set_up(root: Path, wanted: str) -> None:
    """Make .venv what the pins and TORCH ask for; nothing to do if it is."""
    venv, pins = root / ".venv", fingerprint(root)
    if is_ready(venv, wanted, pins):
        return
    state = read_state(venv)
    if state.get("phase") == "installing" or not venv_python(venv).exists():
        create(venv)  # an interrupted pip can leave packages that only look installed
        state = {} if state.get("torch") == IN_VENV else state
    previous = state.get("torch", "")
    choice = choose_torch(wanted, previous, venv, root)
    write_state(venv, "installing", choice, pins)
    try:
        install(venv, choice, previous, root)
    except subprocess.CalledProcessError as error:
        write_state(venv, "failed", choice, pins)
        raise SystemExit(f"{error.stderr or ''}\nThe set-up failed at: {shlex.join(map(str, error.cmd))}\n"
                         "Its own message stands above. Once mended, run the same command again.") from None
    write_state(venv, "ready", choice, pins)


def main() -> None:
    """Set .venv up, or with --bare only make sure that there is one."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--bare", action="store_true", help="only make sure that .venv exists")
    if not parser.parse_args().bare:
        set_up(ROOT, os.environ.get("TORCH", "").strip())
    elif not venv_python(ROOT / ".venv").exists():
        create(ROOT / ".venv")


if __name__ == "__main__":
    main()
