"""make lab: where Lab starts, what it opens, what it says where no browser can open,
and one real start.
"""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lab
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOBODYS: dict[str, str] = {}  # an environment that says nothing


def course(root: Path, *names: str) -> Path:
    """A folder with these notebooks, empty."""
    for name in names or ("notebooks/00_start_here.ipynb",):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(
            json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
        )
    return root


def as_dictionary(options: list[str]) -> dict[str, str]:
    return dict(option.partition("=")[::2] for option in options)


# --- what was asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, value",
    [
        ([], None),
        (["--port", "9999"], "9999"),
        (["--port=9999"], "9999"),
        (["--ServerApp.port=9999"], "9999"),
        (["--no-browser", "--port=1", "--port", "2"], "2"),
        (["--port-retries=3"], None),
        (["--port"], ""),
        (["port"], None),
        (["--port", "--debug"], ""),
    ],
)
def test_an_option_is_found_under_each_of_its_names(
    arguments: list[str], value: str | None
) -> None:
    assert lab.given(arguments, "port") == value


def test_an_options_name_may_have_a_dash() -> None:
    assert lab.given(["--notebook-dir", "x"], "root_dir", "notebook_dir") == "x"
    assert lab.given(["--allow-root", "x.ipynb"], "allow_root") is not None


# --- where Lab starts -----------------------------------------------------------------------------


def test_lab_shows_the_whole_repository_and_opens_notebook_00(tmp_path: Path) -> None:
    assert as_dictionary(lab.place_to_start([], course(tmp_path))) == {
        "--ServerApp.root_dir": str(tmp_path),
        "--LabApp.default_url": "/lab/tree/notebooks/00_start_here.ipynb",
    }


def test_the_learners_copy_comes_first(tmp_path: Path) -> None:
    course(tmp_path, "notebooks/00_start_here.ipynb", "work/00_start_here.ipynb")
    assert as_dictionary(lab.place_to_start([], tmp_path))["--LabApp.default_url"] == (
        "/lab/tree/work/00_start_here.ipynb"
    )


def test_without_notebook_00_one_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        SystemExit, match=r"00_start_here\.ipynb is missing\. Fetch the course again"
    ):
        lab.place_to_start([], tmp_path)


def test_a_named_notebook_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    course(tmp_path, "notebooks/00_start_here.ipynb", "notebooks/my 4.ipynb")
    monkeypatch.chdir(tmp_path)
    for before in ([], ["--no-browser"], ["--port", "9999"], ["--port=9999"]):
        options = as_dictionary(lab.place_to_start([*before, "notebooks/my 4.ipynb"], tmp_path))
        assert options == {
            "--ServerApp.root_dir": str(tmp_path),
            "--LabApp.default_url": "/lab/tree/notebooks/my%204.ipynb",
        }


def test_a_notebook_from_elsewhere_is_opened_in_its_own_folder(tmp_path: Path) -> None:
    here, there = course(tmp_path / "here"), course(tmp_path / "there", "mine.ipynb")
    assert as_dictionary(lab.place_to_start([str(there / "mine.ipynb")], here)) == {
        "--ServerApp.root_dir": str(there),
        "--LabApp.default_url": "/lab/tree/mine.ipynb",
    }


@pytest.mark.parametrize("form", ["--ServerApp.root_dir={}", "--notebook-dir={}", "{}"])
def test_a_root_of_the_learners_own_wins(tmp_path: Path, form: str) -> None:
    """Jupyter refuses an option that is given twice, so ours has to go."""
    here, mine, empty = course(tmp_path / "here"), course(tmp_path / "mine"), tmp_path / "empty"
    empty.mkdir()
    assert lab.place_to_start([form.format(mine)], here) == [
        "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"
    ]
    assert lab.place_to_start([form.format(empty)], here) == []


def test_a_page_of_the_learners_own_wins(tmp_path: Path) -> None:
    assert lab.place_to_start(["--LabApp.default_url=/lab"], course(tmp_path)) == [
        f"--ServerApp.root_dir={tmp_path}"
    ]


def test_a_file_that_is_not_there_is_left_to_jupyter(tmp_path: Path) -> None:
    assert len(lab.place_to_start([str(tmp_path / "99.ipynb")], course(tmp_path))) == 2


# --- what is said where no browser opens ----------------------------------------------------------


@pytest.mark.parametrize(
    "environment, where",
    [
        ({"CODESPACES": "true", "VSCODE_IPC_HOOK_CLI": "x"}, lab.CODESPACE),
        ({"VSCODE_IPC_HOOK_CLI": "x", "SSH_CONNECTION": "x"}, lab.EDITOR),
        ({"REMOTE_CONTAINERS": "true"}, lab.EDITOR),
        ({"SSH_CONNECTION": "x", "DISPLAY": "localhost:10"}, lab.SSH),
        ({"SSH_TTY": "x"}, lab.SSH),
        ({"DISPLAY": ":0"}, lab.DESKTOP),
        ({"WAYLAND_DISPLAY": "wayland-0"}, lab.DESKTOP),
        ({"DISPLAY": ":0", "VSCODE_GIT_IPC_HANDLE": "x"}, lab.DESKTOP),
        ({"KUBERNETES_SERVICE_HOST": "x"}, lab.CONTAINER),
        ({"DISPLAY": ""}, lab.NO_DISPLAY),
        ({}, lab.NO_DISPLAY),
    ],
)
def test_surroundings_are_told_apart(
    tmp_path: Path, environment: dict[str, str], where: str
) -> None:
    assert lab.surroundings(environment, tmp_path, "linux") == where


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_a_mac_and_windows_need_no_display(tmp_path: Path, platform: str) -> None:
    assert lab.surroundings(NOBODYS, tmp_path, platform) == lab.DESKTOP
    assert lab.surroundings({"SSH_TTY": "x"}, tmp_path, platform) == lab.SSH


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv"])
def test_a_container_is_known_by_its_mark(tmp_path: Path, mark: str) -> None:
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).touch()
    assert lab.surroundings(NOBODYS, tmp_path, "linux") == lab.CONTAINER
    assert lab.surroundings({"DISPLAY": ":0"}, tmp_path, "linux") == lab.DESKTOP


@contextmanager
def taken_port() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_passed_over() -> None:
    with taken_port() as port:
        assert lab.free_port(port) > port
        assert lab.choose_port(["--port", str(port)], NOBODYS) == (
            "PORT",
            [],
        )  # Jupyter will look for another


def test_the_port_that_is_named_is_the_one_that_jupyter_gets() -> None:
    port, options = lab.choose_port([], NOBODYS)
    assert options == [f"--ServerApp.port={port}"]
    free = str(lab.free_port(20_000))
    assert lab.choose_port([f"--port={free}"], NOBODYS) == (free, [])
    assert lab.choose_port([], {"JUPYTER_PORT": free}) == (free, [])


@pytest.mark.parametrize(
    "arguments", [["--port=0"], ["--port", "abc"], ["--port=99999"], ["--sock=/tmp/x"]]
)
def test_an_unknown_port_is_not_made_up(arguments: list[str]) -> None:
    assert lab.choose_port(arguments, NOBODYS) == ("PORT", [])
    assert "PORT: the number in the address below" in " ".join(
        lab.advice(lab.SSH, "PORT", arguments, NOBODYS)
    )


def test_over_ssh_the_command_is_named() -> None:
    lines = lab.advice(lab.SSH, "8890", [], NOBODYS)
    assert "    ssh -L 8890:localhost:8890 USER@HOST" in lines
    assert "You are logged in over ssh" in lines[0]
    assert "There is no display here" in lab.advice(lab.NO_DISPLAY, "8890", [], NOBODYS)[0]


def test_in_a_container_it_is_said_whether_lab_can_be_reached() -> None:
    assert "--ip 0.0.0.0" in " ".join(lab.advice(lab.CONTAINER, "8888", [], NOBODYS))
    words = " ".join(lab.advice(lab.CONTAINER, "8888", ["--ip", "0.0.0.0"], NOBODYS))
    assert "--ip" not in words
    assert "docker run -p 8888:8888" in words


def test_vs_code_forwards_the_port() -> None:
    assert len(lab.advice(lab.EDITOR, "8888", [], NOBODYS)) == 1
    named = {
        "CODESPACE_NAME": "fuzzy-robot",
        "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": "example.org",
    }
    words = " ".join(lab.advice(lab.CODESPACE, "8888", [], named))
    assert "https://fuzzy-robot-8888.example.org" in words
    assert len(lab.advice(lab.CODESPACE, "8888", [], NOBODYS)) == 1


# --- what Jupyter is told -------------------------------------------------------------------------

Choose = Callable[..., tuple[list[str], list[str]]]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Choose:
    """lab.choices for a place, as root or not."""

    def choices(
        where: str, arguments: list[str], root: bool = False
    ) -> tuple[list[str], list[str]]:
        monkeypatch.setattr(lab, "surroundings", lambda environment: where)
        monkeypatch.setattr(lab, "is_root", lambda: root)
        return lab.choices(arguments, NOBODYS)

    return choices


def test_on_a_desktop_nothing_is_said_or_chosen(choose: Choose) -> None:
    options, words = choose(lab.DESKTOP, [])
    assert (set(as_dictionary(options)), words) == (
        {"--ServerApp.root_dir", "--LabApp.default_url"},
        [],
    )


def test_root_is_allowed_and_told(choose: Choose) -> None:
    options, words = choose(lab.DESKTOP, [], root=True)
    assert options[-1] == "--allow-root"
    assert len(words) == 1
    assert words[0].startswith("You are root.")
    for own in (["--allow-root"], ["--ServerApp.allow_root=False"]):
        options, words = choose(lab.DESKTOP, own, root=True)
        assert ("--allow-root" not in options, words) == (True, [])


@pytest.mark.parametrize(
    "where", [lab.SSH, lab.CONTAINER, lab.EDITOR, lab.CODESPACE, lab.NO_DISPLAY]
)
def test_elsewhere_no_browser_is_tried(choose: Choose, where: str) -> None:
    options, words = choose(where, [])
    assert "--no-browser" in options
    assert words
    options, words = choose(where, ["--browser", "firefox"])
    assert ("--no-browser" not in options, words) == (True, [])


@pytest.mark.parametrize("where", [lab.DESKTOP, lab.SSH, lab.CONTAINER, lab.CODESPACE])
def test_security_is_left_to_jupyter(choose: Choose, where: str) -> None:
    options, _ = choose(where, [], root=True)
    assert set(as_dictionary(options)) <= {
        "--ServerApp.root_dir",
        "--LabApp.default_url",
        "--ServerApp.port",
        "--no-browser",
        "--allow-root",
    }


# --- starting it ----------------------------------------------------------------------------------


def test_arguments_go_on_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(lab, "run", lambda command: commands.append(command) or 0)
    monkeypatch.setattr(lab, "check_home", lambda environment: None)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    arguments = ["--port", "9999", "--ip", "0.0.0.0", "--ServerApp.root_dir=a b"]
    assert lab.main(arguments) == 0
    assert commands[0][:8] == [sys.executable, "-m", "jupyterlab", *arguments]
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_without_jupyterlab_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"JupyterLab is not installed for .*make setup"):
        lab.main([])


@pytest.mark.skipif(lab.is_root(), reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    lab.check_home(NOBODYS, "linux")
    tmp_path.chmod(0o500)
    with pytest.raises(SystemExit, match=r"cannot be written\. Set HOME"):
        lab.check_home(NOBODYS, "linux")
    lab.check_home({"JUPYTER_RUNTIME_DIR": str(tmp_path.parent / "runtime")}, "linux")


def test_an_unknown_home_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(SystemExit, match=r"cannot be written\. Set HOME"):
        lab.check_home(NOBODYS, "linux")


def test_make_lab_passes_arguments_on() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make on this machine")
    given = {"PYTHON", "ARGS", "TORCH", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL"}
    environment = {name: value for name, value in os.environ.items() if name not in given}
    says = subprocess.run(
        [make, "--no-print-directory", "--dry-run", "lab", "ARGS=--allow-root --port 9999"],
        cwd=ROOT,
        check=True,
        text=True,
        capture_output=True,
        env=environment,
    ).stdout
    assert re.fullmatch(
        r"\.venv/\S+ scripts/lab\.py --allow-root --port 9999", says.splitlines()[-1]
    )


def fetch(address: str) -> tuple[int, bytes]:
    """Status and content of a page of the server on this machine."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


@pytest.mark.skipif(
    importlib.util.find_spec("jupyterlab") is None, reason="jupyterlab is not installed"
)
@pytest.mark.skipif(
    os.name == "nt", reason="the process that is started here is Jupyter itself only elsewhere"
)
def test_lab_really_starts_at_the_repositorys_root(tmp_path: Path) -> None:
    root = course(tmp_path / "a course")
    (root / "README.md").write_text("# Words\n")
    (root / "scripts").mkdir()
    shutil.copy(lab.__file__, root / "scripts")
    unwanted = ("JUPYTER", "XDG_", "VSCODE", "CODESPACE", "REMOTE_CONTAINERS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    environment = {**kept, "HOME": str(tmp_path / "home"), "SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}
    (tmp_path / "home").mkdir()
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "scripts/lab.py"],
            cwd=root,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        address, page, token = wait_for_address(log, process)
        assert page == "lab/tree/notebooks/00_start_here.ipynb"
        assert f"ssh -L {address.rpartition(':')[2]}:localhost:" in log.read_text()
        assert fetch(f"{address}/{page}?token={token}")[0] == 200
        status, content = fetch(f"{address}/api/contents/README.md?token={token}")
        assert (status, json.loads(content)["content"]) == (200, "# Words\n")
        assert fetch(f"{address}/api/contents/README.md")[0] == 403  # without the token
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert "Traceback" not in log.read_text()


def wait_for_address(log: Path, process: subprocess.Popen[bytes]) -> tuple[str, str, str]:
    """Address, page and token, as soon as Jupyter has written them down."""
    for _ in range(600):
        found = re.search(r"(http://127\.0\.0\.1:\d+)/(\S*)\?token=(\w+)", log.read_text())
        if found:
            return found[1], found[2], found[3]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"no address after a minute:\n{log.read_text()}")
