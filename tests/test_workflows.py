"""The workflows of the continuous integration, read: each does what the Makefile and pyproject.toml
know, with no rights and no secrets.
"""

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.iterdir())}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"(?m)^([a-z]+):(?!.*export)", MAKEFILE))
VARIABLES = set(re.findall(r"(?m)^([A-Z]+) \?=", MAKEFILE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = SpecifierSet(PROJECT["requires-python"])
# Majors that run on Node 24: runners no longer have Node 20.
ACTIONS = {"actions/checkout@v6", "actions/setup-python@v6", "actions/cache@v5"}
LONGEST = 120  # minutes


# --- reading --------------------------------------------------------------------------------------


def parse(text: str) -> dict[Any, Any]:
    """A workflow as a mapping; YAML 1.1 reads its key "on" as True."""
    workflow = yaml.safe_load(text)
    workflow["on"] = workflow.pop(True)
    return workflow


def steps(job: dict[str, Any], key: str) -> list[str]:
    """What the steps of a job say under `key` ("run" or "uses")."""
    return [step[key] for step in job["steps"] if key in step]


def make_calls(script: str) -> Iterator[tuple[list[str], list[str]]]:
    """The targets, and the names of the variables, of each call of make in a shell script."""
    for line in script.splitlines():
        words = shlex.split(line, comments=True)
        if "make" not in words:
            continue
        arguments = words[words.index("make") + 1 :]
        targets = [word for word in arguments if "=" not in word]
        yield targets, [word.partition("=")[0] for word in arguments if "=" in word]


def targets_of(job: dict[str, Any]) -> list[str]:
    """The targets that a job makes, in their order."""
    made = []
    for script in steps(job, "run"):
        for targets, _ in make_calls(script):
            made += targets
    return made


def machines(job: dict[str, Any]) -> list[dict[str, str]]:
    """The combinations of a job's matrix; one empty combination if it has none."""
    return job.get("strategy", {}).get("matrix", {}).get("include", [{}])


def fill(value: str, machine: dict[str, str]) -> str:
    """A value with the expressions of the matrix replaced."""
    return re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda match: machine[match[1]], value)


def pythons(job: dict[str, Any]) -> list[str]:
    """The version of Python on each of a job's machines."""
    asked = [
        step["with"]["python-version"]
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/setup-python@")
    ]
    return [fill(version, machine) for version in asked for machine in machines(job)]


# --- the rules ------------------------------------------------------------------------------------


def complaints_about_job(job: dict[str, Any]) -> Iterator[str]:
    """What is wrong with one job."""
    if not 0 < job.get("timeout-minutes", 0) <= LONGEST:
        yield f"timeout-minutes must be from 1 to {LONGEST}"
    if "permissions" in job:
        yield "permissions belong to the whole workflow"
    calls = [call for script in steps(job, "run") for call in make_calls(script)]
    if not calls:
        yield "no step runs make"
    for targets, variables in calls:
        if not targets or not set(targets) <= TARGETS:
            yield f"the Makefile has no target {targets}"
        if not set(variables) <= VARIABLES:
            yield f"the Makefile has no variable {variables}"
    unknown = set(steps(job, "uses")) - ACTIONS
    if unknown:
        yield f"unknown actions {sorted(unknown)}"
    if any(version not in PYTHONS for version in pythons(job)) or not pythons(job):
        yield f"Python {pythons(job)}, but pyproject.toml wants {PYTHONS}"


def complaints(text: str) -> list[str]:
    """What is wrong with a workflow."""
    workflow = parse(text)
    found = []
    if workflow.get("permissions") != {"contents": "read"}:
        found.append("permissions must be: contents: read")
    if re.search(r"\bsecrets\b|github\.token|GITHUB_TOKEN", text):
        found.append("a workflow must not use secrets")
    if "pull_request_target" in workflow["on"]:
        found.append("pull_request_target runs a stranger's code with rights")
    if text.count("actions/checkout@") != text.count("persist-credentials: false"):
        found.append("each checkout needs persist-credentials: false")
    if workflow.get("defaults", {}).get("run") != {"shell": "bash"}:
        found.append("the default shell must be bash")
    if workflow.get("env", {}).get("TORCH") != "cpu":
        found.append("TORCH must be cpu")
    for name, job in workflow["jobs"].items():
        found += [f"{name}: {complaint}" for complaint in complaints_about_job(job)]
    return found


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_keeps_the_rules(name: str) -> None:
    assert complaints(WORKFLOWS[name]) == []


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("contents: read", "contents: write", "permissions must be: contents: read"),
        ("TORCH: cpu", "TORCH: ${{ secrets.TORCH }}", "must not use secrets"),
        ("  pull_request:", "  pull_request_target:", "pull_request_target"),
        ("persist-credentials: false", "fetch-depth: 1", "persist-credentials"),
        ("shell: bash", "shell: pwsh", "shell must be bash"),
        ("TORCH: cpu", "TORCH: any", "TORCH must be cpu"),
        ("timeout-minutes: 20", "timeout-minutes: 600", "lint: timeout-minutes"),
        ("make lint", "make lints", "lint: the Makefile has no target ['lints']"),
        ("make lint PYTHON", "make lint PYTHONS", "lint: the Makefile has no variable"),
        ("make lint", "echo", "lint: no step runs make"),
        ("actions/cache@v5", "someone/cache@v1", "lint: unknown actions ['someone/cache@v1']"),
        ('python: "3.13"', 'python: "3.10"', "test: Python ['3.11', '3.10'"),
    ],
)
def test_a_broken_rule_is_noticed(before: str, after: str, complaint: str) -> None:
    text = WORKFLOWS["test.yml"]
    assert before in text
    assert complaint in "\n".join(complaints(text.replace(before, after)))


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
@pytest.mark.parametrize("name", WORKFLOWS)
def test_scripts_are_valid_bash(name: str) -> None:
    for job in parse(WORKFLOWS[name])["jobs"].values():
        for script in steps(job, "run"):
            done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", WORKFLOWS)
def test_files_that_a_workflow_names_exist(name: str) -> None:
    files = set(re.findall(r"[\w/]+\.(?:lock|toml|py)\b", WORKFLOWS[name]))
    assert files
    assert [path for path in files if not (ROOT / path).is_file()] == []


# --- what is run ----------------------------------------------------------------------------------


def test_every_change_is_tested_on_three_systems_and_linted() -> None:
    workflow = parse(WORKFLOWS["test.yml"])
    assert set(workflow["on"]) == {"push", "pull_request"}
    test = workflow["jobs"]["test"]
    tested = [(fill(test["runs-on"], machine), machine["python"]) for machine in machines(test)]
    lowest = str(PYTHONS).removeprefix(">=")
    assert sorted(tested) == [
        ("macos-latest", lowest),
        ("ubuntu-latest", lowest),
        ("ubuntu-latest", "3.13"),
        ("windows-latest", lowest),
    ]
    assert targets_of(test) == ["setup", "test"]
    assert targets_of(workflow["jobs"]["lint"]) == ["lint"]
    assert "continue-on-error" not in WORKFLOWS["test.yml"]


def test_once_a_week_the_newest_versions_are_tried_and_may_fail() -> None:
    workflow = parse(WORKFLOWS["weekly.yml"])
    (schedule,) = workflow["on"]["schedule"]
    minute, hour, day, month, weekday = schedule["cron"].split()
    assert (day, month) == ("*", "*")
    assert minute.isdecimal() and hour.isdecimal() and weekday.isdecimal()
    (job,) = workflow["jobs"].values()
    assert job["continue-on-error"] is True
    runs = steps(job, "run")
    (upgrade,) = (place for place, run in enumerate(runs) if "pip install" in run)
    (test,) = (place for place, run in enumerate(runs) if "make test" in run)
    assert upgrade < test
    assert {"--upgrade", "--all-extras", "pyproject.toml"} <= set(shlex.split(runs[upgrade]))
    assert "$GITHUB_STEP_SUMMARY" in runs[-1]
    assert job["steps"][-1]["if"] == "always()"


def test_the_test_that_the_weekly_run_leaves_out_exists() -> None:
    left_out = re.findall(r"--deselect (\S+)::(\w+)", WORKFLOWS["weekly.yml"])
    assert left_out
    for path, name in left_out:
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_the_network_is_off_in_the_tests_of_the_makefile() -> None:
    assert re.search(r"(?m)^test: export HF_HUB_OFFLINE = 1$", MAKEFILE)
