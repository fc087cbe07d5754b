"""Start JupyterLab on the course: python scripts/lab.py [JUPYTER'S OWN ARGUMENTS ...]

make lab calls this. Lab shows the whole repository, so that links to the data cards, the README and
the code work. It opens notebook 00: your copy in work/ if there is one (scripts/work.py makes it),
else the one in notebooks/.
Where Jupyter needs something else (as root, over ssh, in a container, in VS Code), it is chosen
here and said in words. All arguments go on to Jupyter unchanged, and win over what is chosen here:
make lab ARGS="--port 9999". The token and Jupyter's other security settings stay as they are.

Standard library only. Run it with the Python that has JupyterLab, .venv's: .venv/bin/python
scripts/lab.py
"""

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
FIRST = "00_start_here.ipynb"
FLAGS = {"--allow-root", "--no-browser", "--debug", "-y"}  # Jupyter's options that take no value

CODESPACE, EDITOR, SSH, CONTAINER, NO_DISPLAY, DESKTOP = (
    "codespace",
    "editor",
    "ssh",
    "container",
    "no display",
    "desktop",
)


# --- what was asked for ---------------------------------------------------------------------------


def given(arguments: Sequence[str], *names: str) -> str | None:
    """The value of an option, whichever of its names was used;
    "" for a flag, None if it is not there.

    names: as in "root_dir", which stands for --root-dir, --ServerApp.root_dir and the like.
    """
    value = None
    for place, argument in enumerate(arguments):
        option, equals, rest = argument.partition("=")
        if (
            not option.startswith("-")
            or option.lstrip("-").rpartition(".")[2].replace("-", "_") not in names
        ):
            continue
        following = arguments[place + 1] if place + 1 < len(arguments) else ""
        value = rest if equals else "" if following.startswith("-") else following
    return value


def named_path(arguments: Sequence[str]) -> Path | None:
    """The notebook or the folder that Jupyter is asked to open; None if it is not asked for one."""
    for place, argument in enumerate(arguments):
        before = arguments[place - 1] if place else ""
        is_value = before.startswith("-") and "=" not in before and before not in FLAGS
        if not argument.startswith("-") and not is_value:
            path = Path(os.path.abspath(argument))
            return path if path.is_dir() or path.is_file() else None
    return None


def first_notebook(folder: Path) -> Path | None:
    """The notebook to begin with: the learner's copy, or the course's; None if there is neither."""
    return next(
        (
            path
            for path in (folder / "work" / FIRST, folder / "notebooks" / FIRST)
            if path.is_file()
        ),
        None,
    )


def place_to_start(arguments: Sequence[str], root: Path = ROOT) -> list[str]:
    """Jupyter's options for its root folder and for the page that it opens.
    SystemExit if notebook 00 is missing.
    """
    path, folder = named_path(arguments), given(arguments, "root_dir", "notebook_dir")
    if path is not None and path.is_dir():
        path, folder = None, str(path)  # Jupyter takes it for its root
    top = Path(os.path.abspath(os.path.expanduser(folder))) if folder else root
    notebook = path or first_notebook(top)
    if notebook is None and not folder:
        raise SystemExit(
            f"{root / 'notebooks' / FIRST} is missing. Fetch the course again: git clone, or "
            "git checkout notebooks."
        )
    options = []
    if not folder:
        top = top if notebook.is_relative_to(top) else notebook.parent
        options.append(f"--ServerApp.root_dir={top}")
    if (
        notebook is not None
        and notebook.is_relative_to(top)
        and given(arguments, "default_url") is None
    ):
        options.append(
            f"--LabApp.default_url=/lab/tree/{quote(notebook.relative_to(top).as_posix())}"
        )
    return options


# --- where this runs ------------------------------------------------------------------------------


def surroundings(
    environment: Mapping[str, str], root: Path = Path("/"), platform: str = sys.platform
) -> str:
    """Where Lab starts, as far as it matters for a browser: one of the words above.

    root: the folder in which containers leave their marks.
    """
    if environment.get("CODESPACES") == "true":
        return CODESPACE
    # VS Code's terminals on another machine or in a container have these; on the desktop itself
    # they have not.
    if "VSCODE_IPC_HOOK_CLI" in environment or "REMOTE_CONTAINERS" in environment:
        return EDITOR
    if "SSH_CONNECTION" in environment or "SSH_TTY" in environment:
        return SSH
    if (
        not platform.startswith("linux")
        or environment.get("DISPLAY")
        or environment.get("WAYLAND_DISPLAY")
    ):
        return DESKTOP
    marks = (root / ".dockerenv", root / "run" / ".containerenv")
    if any(mark.exists() for mark in marks) or "KUBERNETES_SERVICE_HOST" in environment:
        return CONTAINER
    return NO_DISPLAY


def free_port(first: int) -> int:
    """The first free port from `first` on, as Jupyter looks for one;
    `first` itself if all that are tried are taken.
    """
    for port in range(first, min(first + 50, 2**16)):
        with socket.socket() as attempt:
            if os.name != "nt":  # there it would let two servers share a port
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return first


def choose_port(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """The port in words and the option that fixes it, so that what is said about it holds.

    Without an option where the learner chose; the word is "PORT" if that port is taken, or is left
    to the system.
    """
    asked = given(arguments, "port") or environment.get("JUPYTER_PORT", "")
    if given(arguments, "sock") is not None:
        return "PORT", []
    if not asked:
        port = free_port(8888)
        return str(port), [f"--ServerApp.port={port}"]
    is_fixed = asked.isdecimal() and 0 < int(asked) < 2**16 and free_port(int(asked)) == int(asked)
    return asked if is_fixed else "PORT", []


# --- what to say ----------------------------------------------------------------------------------


def advice(
    where: str, port: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> list[str]:
    """How to get to Lab from here, where no browser opens."""
    address = "the address below that starts with http://127.0.0.1"
    note = " (PORT: the number in the address below)" if port == "PORT" else ""
    if where in (CODESPACE, EDITOR):
        lines = [
            (
                f"VS Code forwards port {port} to you: "
                f"hold Ctrl (on a Mac, Cmd) and click {address}{note}."
            )
        ]
        if where == CODESPACE:
            lines += codespace_advice(port, environment)
        return lines
    if where == CONTAINER:
        if given(arguments, "ip") is None and "JUPYTER_IP" not in environment:
            return [
                (
                    "No browser opens in a container, and Lab listens only inside it. "
                    "To reach it, publish a port"
                ),
                (
                    f"(docker run -p {port}:{port} ...) and start with: "
                    f'make lab ARGS="--ip 0.0.0.0"{note}.'
                ),
            ]
        return [
            f"No browser opens in a container. On the machine that runs it, open {address},",
            f"with the port that you published for {port} (docker run -p {port}:{port} ...){note}.",
        ]
    reason = "You are logged in over ssh" if where == SSH else "There is no display here"
    return [
        f"{reason}, so no browser opens. On the computer in front of you, run",
        f"    ssh -L {port}:localhost:{port} USER@HOST",
        f"with the user and the host of this machine, and open {address} there{note}.",
    ]


def codespace_advice(port: str, environment: Mapping[str, str]) -> list[str]:
    """What helps where Lab runs in a browser's codespace,
    whose address is not the one that Jupyter knows.
    """
    name, domain = (
        environment.get("CODESPACE_NAME"),
        environment.get("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN"),
    )
    if not name or not domain or port == "PORT":
        return []
    return [
        (
            "If Lab opens but no cell runs, Jupyter has refused the forwarded address. "
            "Start again with"
        ),
        f'    make lab ARGS="--port {port} --ServerApp.allow_origin=https://{name}-{port}.{domain}"',
        "or open the notebooks in VS Code itself.",
    ]


def check_home(environment: Mapping[str, str], platform: str = sys.platform) -> None:
    """SystemExit if Jupyter cannot keep its own files (Linux, where that happens: a user
    without a home folder).
    """
    if not platform.startswith("linux"):
        return
    home = os.path.expanduser("~")  # stays "~" if the system knows none
    named = ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "XDG_DATA_HOME")
    usual = os.path.join(home, ".local", "share", "jupyter")
    folder = Path(next((environment[name] for name in named if environment.get(name)), usual))
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if home == "~" or not os.access(there, os.W_OK):
        raise SystemExit(
            f"Jupyter keeps its own files in {folder}, and that cannot be written. Set HOME to a "
            "folder that is yours, such as HOME=/tmp/me"
        )


def is_root() -> bool:
    """Whether this runs as root (Windows has none)."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def choices(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """What Jupyter is told beside `arguments`, and what to tell the learner about it."""
    options, words = place_to_start(arguments), []
    if is_root() and given(arguments, "allow_root") is None:
        options.append("--allow-root")
        words.append(
            "You are root. Jupyter refuses root without --allow-root, so it gets this option: "
            "notebooks may change anything on this machine."
        )
    where = surroundings(environment)
    wants_browser = (
        given(arguments, "browser") is not None or given(arguments, "open_browser") is not None
    )
    if where != DESKTOP and not wants_browser:
        port, fixed = choose_port(arguments, environment)
        options += ["--no-browser", *fixed]
        words += advice(where, port, arguments, environment)
    return options, words


# --- starting it ----------------------------------------------------------------------------------


def run(command: list[str]) -> int:
    """Run Jupyter in place of this program, or under it on Windows,
    which cannot replace a program.
    """
    if os.name != "nt":
        os.execv(command[0], command)
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # Jupyter got it, too, and asks whether to stop
                continue


def main(arguments: Sequence[str]) -> int:
    """Start Lab; does not come back before it ends."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise SystemExit(
            f"JupyterLab is not installed for {sys.executable}. Set up the course (make setup, or "
            "python scripts/setup_env.py), and start this with .venv's Python: "
            ".venv/bin/python scripts/lab.py"
        )
    check_home(os.environ)
    options, words = choices(arguments, os.environ)
    print("".join(f"{line}\n" for line in words), end="", flush=True)
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # see the Makefile: waiting threads must sleep
    return run([sys.executable, "-m", "jupyterlab", *arguments, *options])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
