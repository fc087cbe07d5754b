"""The Dockerfile and the devcontainer, read: not root, the token kept,
and every name in them leads to something.
"""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DEVCONTAINER = ROOT / ".devcontainer" / "devcontainer.json"
INSTRUCTIONS = {"FROM", "RUN", "USER", "ENV", "WORKDIR", "COPY", "ARG", "EXPOSE", "CMD"}
PORT = "8888"


def instructions() -> list[tuple[str, str]]:
    """(instruction, the rest) of each line of the Dockerfile;
    continued lines are joined, comments dropped.
    """
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined)]


DOCKERFILE = instructions()


def values(name: str) -> list[str]:
    """What stands after each instruction of that name."""
    return [rest for word, rest in DOCKERFILE if word == name]


def test_every_instruction_is_known() -> None:
    assert {word for word, _ in DOCKERFILE} <= INSTRUCTIONS
    assert DOCKERFILE[0][0] == "FROM"
    assert all(rest.strip() for _, rest in DOCKERFILE)


def test_images_have_short_names() -> None:
    """No registry is named: a machine may have one of its own configured."""
    (base, _, first), (second, _, _) = (value.split() for value in values("FROM"))
    assert re.fullmatch(r"python:3\.\d+-slim", base)
    assert second == first


def test_python_is_new_enough_and_the_one_of_the_conda_list() -> None:
    version = re.search(r"python:(3\.\d+)-slim", values("FROM")[0])[1]
    assert f"- python={version}" in (ROOT / "environment.yml").read_text(encoding="utf-8")


def test_nothing_is_fetched_from_an_address() -> None:
    files = (ROOT / "Dockerfile", ROOT / ".dockerignore", DEVCONTAINER)
    assert not [file for file in files if "://" in file.read_text(encoding="utf-8")]


def test_the_course_is_not_installed_or_run_by_root() -> None:
    assert values("USER") == ["learner"]
    by_root = DOCKERFILE[: DOCKERFILE.index(("USER", "learner"))]
    assert [word for word, _ in by_root] == ["FROM", "RUN", "RUN"]
    assert "useradd" in by_root[2][1]
    assert all(value.startswith("--chown=learner:learner ") for value in values("COPY"))


def test_the_token_stays() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8") + DEVCONTAINER.read_text(
        encoding="utf-8"
    )
    assert not re.search(
        r"(?i)token\s*=|password|allow_origin|disable_check_xsrf|allow.root|JUPYTER_TOKEN", text
    )


def test_lab_listens_outside_on_the_port_that_is_exposed() -> None:
    shell, flag, commands = json.loads(values("CMD")[0])
    assert (shell, flag) == ("sh", "-c")
    copying, starting = (shlex.split(command) for command in commands.split(";"))
    assert copying == [".venv/bin/python", "scripts/work.py"]
    assert starting == [
        "exec",
        ".venv/bin/python",
        "scripts/lab.py",
        "--ip",
        "0.0.0.0",
        "--port",
        PORT,
    ]
    assert values("EXPOSE") == [PORT]


def test_what_is_copied_or_run_exists() -> None:
    for value in values("COPY"):
        for source in value.split()[1:-1]:
            assert list(ROOT.glob(source)) if source != "." else True, (
                f"COPY {source}: there is no such file"
            )
    for value in [*values("RUN"), *values("CMD")]:
        for script in re.findall(r"scripts/\w+\.py", value):
            assert (ROOT / script).is_file(), f"{script} is not there"


def test_what_the_set_up_reads_comes_before_the_rest() -> None:
    """So that a changed notebook does not install everything again."""
    copies = [place for place, (word, _) in enumerate(DOCKERFILE) if word == "COPY"]
    setup = next(
        place
        for place, (word, rest) in enumerate(DOCKERFILE)
        if word == "RUN" and "setup_env.py" in rest
    )
    assert copies[-2] < setup < copies[-1]
    assert DOCKERFILE[copies[-1]][1].split()[1:] == [".", "."]
    early = {name for place in copies[:-1] for name in DOCKERFILE[place][1].split()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # the project itself is installed there, and that reads these
    assert {
        "pyproject.toml",
        "requirements.lock",
        project["readme"],
        *project["license-files"],
    } <= early


@pytest.mark.parametrize("name", [".git", ".venv", "runs", "work", "**/__pycache__"])
def test_the_image_gets_nothing_that_is_made_here(name: str) -> None:
    assert name in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_the_image_gets_the_whole_course() -> None:
    ignored = {
        line.strip("/")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    }
    assert not ignored & {
        "notebooks",
        "course_utils",
        "data",
        "scripts",
        "tests",
        "docs",
        "Makefile",
        "README.md",
    }


# --- devcontainer ---------------------------------------------------------------------------------


def devcontainer() -> dict:
    return json.loads(
        DEVCONTAINER.read_text(encoding="utf-8")
    )  # without comments: any reader of JSON takes it


def test_devcontainer_builds_a_stage_of_the_dockerfile() -> None:
    build = devcontainer()["build"]
    assert (DEVCONTAINER.parent / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (DEVCONTAINER.parent / build["context"]).resolve() == ROOT
    stages = [value.split()[-1] for value in values("FROM")]
    assert (
        build["target"] == stages[0]
    )  # the last one has a .venv at a place that the mounted repository hides
    assert "image" not in devcontainer()


def test_devcontainer_is_no_root_either() -> None:
    assert devcontainer()["remoteUser"] == values("USER")[0]


def test_devcontainer_sets_up_with_a_command_that_exists() -> None:
    make, target = devcontainer()["postCreateCommand"].split()
    assert make == "make"
    assert re.search(rf"(?m)^{target}: setup\b", (ROOT / "Makefile").read_text(encoding="utf-8"))
    system = DOCKERFILE[: [word for word, _ in DOCKERFILE].index("USER")]
    assert re.search(r"\bgit make\b", " ".join(rest for _, rest in system))


def test_devcontainer_forwards_labs_port_and_takes_the_courses_python() -> None:
    settings = devcontainer()
    assert settings["forwardPorts"] == [int(PORT)]
    assert set(settings["portsAttributes"]) == {PORT}
    vscode = settings["customizations"]["vscode"]
    assert {"ms-python.python", "ms-toolsai.jupyter"} <= set(vscode["extensions"])
    python = vscode["settings"]["python.defaultInterpreterPath"]
    assert python == "${containerWorkspaceFolder}/.venv/bin/python"
