"""Which torch the set-up takes, and where from. Standard library only; uv is .venv's own.

torch is published in one build for every kind of machine. The one that plain pip takes on Linux
holds CUDA, some gigabytes of it, whether there is a GPU or not. uv knows where each build lies
(--torch-backend); no address is needed.
"""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import setup_commands
from setup_stamp import WITH_TORCH, normal, records

PINNED = "torch==2.13.0"
CPU, ANY, INSTALLED = (
    "cpu",
    "any",
    "installed",
)  # the words that TORCH may be, other than arguments of pip
BY_PIN = "the pin "  # before the pin of that day: nobody chose, so a new pin replaces it
IN_VENV = "already in .venv"  # the two choices that need no installing
OUTSIDE = "already outside .venv"
LINK = "torch_outside.pth"  # in .venv's site-packages: the folder of a torch installed elsewhere
NVIDIA, AMD, NO_GPU = "NVIDIA GPU", "AMD GPU", "No GPU"
# of the build with CUDA and the packages that it needs
SIZES = "about 2.7 GB to download, 5.7 GB on disk"
# Until the index with the builds answers. After that, uv's own patience holds, which suits a slow
# download.
REACH = {"UV_HTTP_RETRIES": "1", "UV_HTTP_CONNECT_TIMEOUT": "10", "UV_HTTP_TIMEOUT": "15"}
REACH_SECONDS = 30.0
PLAN_SECONDS = 120.0
WINDOWS = os.name == "nt"


def answers(command: list[str]) -> str:
    """What a program of the machine prints; empty if it fails, hangs, or is not there."""
    program = shutil.which(command[0])
    try:
        return (
            setup_commands.run([program, *command[1:]], quiet=True, timeout=20) if program else ""
        )
    except (subprocess.SubprocessError, OSError):
        return ""


def gpu() -> str:
    """The kind of GPU in sight, found as uv finds it: only a GPU with a working driver counts."""
    drivers = (Path("/sys/module/nvidia/version"), Path("/proc/driver/nvidia/version"))
    if any(path.exists() for path in drivers) or answers(["nvidia-smi", "--list-gpus"]).strip():
        return NVIDIA
    if re.search(r"gfx(?!0+\b)\w", answers(["rocm_agent_enumerator"])):  # gfx000 is the CPU
        return AMD
    return NO_GPU


# --- the choice -----------------------------------------------------------------------------------


def accepted(version: str, root: Path) -> bool:
    """True if pyproject.toml's range for torch admits this version."""
    import tomllib  # here, since most runs find everything ready and should be quick

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    spec = next(line for line in project["dependencies"] if line.startswith("torch"))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    lowest = tuple(int(part) for part in re.search(r">=([\d.]+)", spec)[1].split("."))
    return lowest <= numbers < (int(re.search(r"<(\d+)", spec)[1]),)


def in_venv(site: Path, root: Path) -> str:
    """The version of the torch in .venv itself; empty without one that will do."""
    versions = [info.stem.split("-")[1] for info in records(site).get("torch", [])]
    return next((version for version in versions if accepted(version, root)), "")


def outside(venv: Path, root: Path) -> Path | None:
    """The folder from which the Python that runs this imports torch;
    None without a torch that will do.
    """
    from importlib import metadata

    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    folder, version = Path(spec.origin).parent.parent, metadata.version("torch")
    if venv in folder.parents:
        return None
    if not accepted(version, root):
        print(
            f"torch {version} in {folder} is outside the range of pyproject.toml; leaving it alone."
        )
        return None
    return folder


def choose(wanted: str, remembered: str, venv: Path, site: Path, root: Path) -> str:
    """Which torch to use: the one asked for, the one chosen before, one that is there,
    or the pinned one.
    """
    if wanted not in ("", INSTALLED):
        return wanted
    here = in_venv(site, root)
    if remembered == OUTSIDE and not linked(site) and not outside(venv, root):
        remembered = ""  # it was uninstalled; there is no use in insisting
    if remembered and not remembered.startswith(BY_PIN):
        return remembered
    if here and (wanted or remembered != f"{BY_PIN}torch=={here.split('+')[0]}"):
        return IN_VENV  # asked for, or not the one that the pin of that day brought
    if not here and outside(venv, root):
        return OUTSIDE
    if wanted == INSTALLED:
        raise SystemExit(
            "TORCH=installed, but there is no torch that will do, neither in .venv nor for "
            f"{sys.executable}. Install one first, or leave TORCH out."
        )
    return BY_PIN + PINNED


def linked(site: Path) -> Path | None:
    """The folder of the torch outside that .venv uses;
    None if it uses none, or if that torch is gone.
    """
    try:
        folder = Path((site / LINK).read_text(encoding="utf-8").strip())
    except OSError:
        return None
    return folder if (folder / "torch" / "__init__.py").exists() else None


# --- bringing it ----------------------------------------------------------------------------------


def install(choice: str, previous: str, python: Path, venv: Path, site: Path, root: Path) -> None:
    """Bring the chosen torch into .venv: by uv, by pip, or by a link to the folder that has it."""
    link = site / LINK
    if choice == OUTSIDE:
        folder = linked(site) or outside(venv, root)
        if folder is None:
            raise SystemExit(
                f"The torch outside .venv is gone from {sys.executable}. "
                "Run the same command again."
            )
        link.write_text(f"{folder}\n", encoding="utf-8")
        print(f"Using the torch in {folder}.", flush=True)
        return
    link.unlink(missing_ok=True)
    if choice == IN_VENV:
        return
    if previous not in ("", choice) and "torch" in records(site):
        # Another build of the same version would pass for installed.
        setup_commands.run([python, "-m", "pip", "uninstall", "--yes", "--quiet", "torch"])
    if choice.startswith(BY_PIN) or choice in (CPU, ANY):
        if in_venv(site, root).split("+")[0] != PINNED.removeprefix("torch=="):
            install_pinned(choice, python)
    else:
        print(f"Installing {choice} ...", flush=True)
        words = shlex.split(choice, posix=not WINDOWS)  # on Windows, a path keeps its backslashes
        setup_commands.run([python, "-m", "pip", "install", *words])


def install_pinned(choice: str, python: Path) -> None:
    """Install the pinned torch, in the build for this machine."""
    linux = sys.platform == "linux"
    seen = gpu() if choice != ANY else ""
    if choice == ANY:
        say("TORCH=any", f"installing {PINNED} in whatever build pip chooses")
    elif linux and (seen == NO_GPU or choice == CPU):
        why = "TORCH=cpu" if choice == CPU else "No GPU in sight"
        say(why, f"installing the CPU build of {PINNED} (about 0.2 GB to download)")
        if by_uv("cpu", python):
            return
        refuse_cuda(f"{PINNED} without CUDA", python)
    elif choice != CPU and (linux or (WINDOWS and seen == NVIDIA)):
        say(
            f"{seen} in sight",
            f"installing {PINNED} in the build for its driver (some gigabytes to download)",
        )
        if by_uv("auto", python):
            return
        if seen == AMD:
            refuse_cuda(f"{PINNED} for an AMD GPU", python)
        else:
            say(
                "Instead",
                f"installing the {'CPU build' if WINDOWS else 'CUDA build'} of "
                f"{PINNED} that pip has",
            )
    else:
        say(
            "macOS"
            if sys.platform == "darwin"
            else "No NVIDIA GPU"
            if choice != CPU
            else "TORCH=cpu",
            f"installing {PINNED}, which pip has in the right build",
        )
    setup_commands.run([python, "-m", "pip", "install", PINNED])


def say(why: str, what: str) -> None:
    """One line: what is chosen, and why."""
    print(f"{why}: {what} ...", flush=True)


def by_uv(backend: str, python: Path) -> bool:
    """Install the pinned torch in the build that uv knows for this backend;
    False if it cannot get at one.
    """
    command = [
        python,
        "-m",
        "uv",
        "pip",
        "install",
        "--python",
        python,
        "--torch-backend",
        backend,
        PINNED,
    ]
    if backend == "cpu":
        command.append("--no-deps")  # the lock, which came before, holds what the CPU build needs
    # Not below the course's folder: uv would read there, in pyproject.toml, that torch needs no
    # more than on a CPU.
    top = Path(python.anchor)
    try:
        setup_commands.run(
            [*command, "--dry-run"], quiet=True, timeout=REACH_SECONDS, folder=top, variables=REACH
        )
    except subprocess.TimeoutExpired:
        reason = f"no answer in {REACH_SECONDS:.0f} s"
    except subprocess.CalledProcessError as error:
        lines = [line.strip() for line in (error.stderr or "").splitlines()]
        reason = next(
            (line for line in lines if re.match(r"error:|×", line)),
            f"uv ended with {error.returncode}",
        )
    else:
        setup_commands.run(command, folder=top)
        return True
    print(
        f"The index of torch's builds cannot be used from here ({reason}). "
        "Looking at what pip has ...",
        flush=True,
    )
    return False


def refuse_cuda(wanted: str, python: Path) -> None:
    """Ask pip what it would bring, and stop if that is CUDA, which this machine has no use for."""
    unwanted = planned(python)
    if not unwanted:
        return
    raise SystemExit(
        f"{wanted} could not be had: the index of torch's builds cannot be reached (see above), "
        f"and pip would bring the build with CUDA, {SIZES}.\n"
        "Run the same command again when the network allows it; what is installed so far stays.\n"
        "Or take the build with CUDA, which runs without a GPU too: make lab TORCH=any\n"
        "Or name a build that you can reach, with whatever https://pytorch.org/get-started/locally "
        'shows after "pip install": make lab TORCH="torch --index-url ..."'
    )


def planned(python: Path) -> bool:
    """True if CUDA would come with the pinned torch,
    or if pip cannot say without fetching everything.

    pip reads only the description of each package for this (since 25.3; the lock brings such a
    pip), if the index has it; where it does not, the wheels themselves would be fetched, and the
    time limit ends that.
    """
    work = setup_commands.SURROUNDINGS.work or Path.cwd()
    report = work / "plan.json"
    try:
        setup_commands.run(
            [python, "-m", "pip", "install", "--dry-run", "--quiet", "--report", report, PINNED],
            quiet=True,
            timeout=PLAN_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return True
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    names = [normal(part["metadata"]["name"]) for part in found]
    return any(name != "torch" and WITH_TORCH.match(name) for name in names)
