"""The set-up script: what it installs, what it leaves alone, and how it heals."""

import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
import setup_commands
import setup_env
import setup_stamp
import setup_torch
from setup_fakes import LOCK, ROOT, FakeMachine, put, take

PIN = setup_env.PINNED_TORCH
UV_CPU = f"--torch-backend cpu {PIN}"


def test_old_python_gets_a_clear_message(tmp_path: Path) -> None:
    """The check comes before anything that an old Python could stumble over."""
    pretend = (
        "import sys, runpy; sys.version_info = (3, 10, 2); "
        f"runpy.run_path({str(setup_env.__file__)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", pretend], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Words to BERT needs Python 3.11 or newer")


# --- with a pip that only takes notes -------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """Linux, without a GPU, where uv reaches its index."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "requirements.lock").write_text(LOCK)
    fake = FakeMachine(tmp_path)
    monkeypatch.setattr(setup_commands, "run", fake.run)
    monkeypatch.setattr(setup_torch, "outside", lambda venv, root: None)
    monkeypatch.setattr(setup_torch, "gpu", lambda: setup_torch.NO_GPU)
    monkeypatch.setattr(sys, "platform", "linux")
    return fake


def test_first_run_installs_the_lock_torch_and_the_project(machine: FakeMachine) -> None:
    venv, lock, reached, torch, project, check = machine.set_up()
    assert venv.endswith("-m venv ./.venv")
    assert "--require-hashes --requirement ./requirements.lock" in lock
    assert UV_CPU in torch
    assert reached == f"{torch} --dry-run"
    assert project.endswith("--no-build-isolation --editable .")
    for name in (
        "torch",
        "transformers",
        "datasets",
        "sklearn",
        "matplotlib",
        "jupyterlab",
        "course_utils",
    ):
        assert name in check


def test_second_run_does_nothing(machine: FakeMachine) -> None:
    machine.set_up()
    assert machine.set_up() == []


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_changed_pin_is_installed(machine: FakeMachine, name: str) -> None:
    machine.set_up()
    with (machine.root / name).open("a") as file:
        file.write("# another pin\n")
    machine.set_up()
    assert machine.did("--require-hashes")
    assert not machine.did("-m venv")  # what is there need not be fetched again
    assert not machine.did("torch-backend")
    assert machine.set_up() == []


@pytest.mark.parametrize(
    "step", ["-m venv", "--require-hashes", UV_CPU, "--editable", "import torch"]
)
def test_interrupted_run_is_not_taken_for_a_finished_one(machine: FakeMachine, step: str) -> None:
    machine.breaks_at = (step, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        machine.set_up()
    machine.breaks_at = None
    assert machine.set_up()[-1].endswith("torch.__version__)")
    assert machine.did("-m venv") == (step == "-m venv")
    assert machine.did("--require-hashes")
    assert machine.set_up() == []


def test_the_choice_of_torch_outlives_an_interruption(machine: FakeMachine) -> None:
    machine.set_up("torch==2.13.0 --index-url FOLDER")
    setup_env.venv_python(machine.venv).unlink()
    machine.breaks_at = ("-m venv", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        machine.set_up()
    machine.breaks_at = None
    machine.set_up()
    assert machine.did("pip install torch==2.13.0 --index-url FOLDER")


@pytest.mark.parametrize("package", ["without", "with"])
def test_a_venv_that_could_not_be_made_is_made_anew(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    machine.breaks_at = ("-m venv", subprocess.CalledProcessError(1, ["python", "-m", "venv"]))
    find_spec = setup_env.importlib.util.find_spec
    monkeypatch.setattr(
        setup_env.importlib.util,
        "find_spec",
        lambda name: None if name == "ensurepip" and package == "without" else find_spec(name),
    )
    with pytest.raises(SystemExit, match="python3-venv" if package == "without" else "disk full"):
        machine.set_up()
    machine.breaks_at = None
    assert "-m venv" in machine.set_up()[0]


@pytest.mark.parametrize("step", ["--require-hashes", UV_CPU, "--editable"])
def test_failed_run_is_tried_again_in_place(machine: FakeMachine, step: str) -> None:
    full = (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    )
    machine.breaks_at = (step, subprocess.CalledProcessError(1, ["pip", "install"], stderr=full))
    with pytest.raises(
        SystemExit, match=r"(?s)No space left.*failed at: pip install.*run the same command again"
    ):
        machine.set_up()
    machine.breaks_at = None
    assert machine.phase() == setup_stamp.FAILED
    assert machine.set_up()
    assert not machine.did("-m venv")
    assert machine.set_up() == []


def test_what_does_not_import_is_made_anew(machine: FakeMachine) -> None:
    machine.breaks_at = (
        "import torch",
        subprocess.CalledProcessError(1, ["python"], stderr="ImportError: libx.so"),
    )
    with pytest.raises(SystemExit, match=r"(?s)ImportError: libx\.so.*Run the same command again"):
        machine.set_up()
    machine.breaks_at = None
    assert "-m venv" in machine.set_up()[0]
    assert machine.set_up() == []


def test_missing_interpreter_is_noticed(machine: FakeMachine) -> None:
    machine.set_up()
    setup_env.venv_python(machine.venv).unlink()  # as when the Python below it was removed
    assert "-m venv" in machine.set_up()[0]


def test_a_venv_without_pip_is_made_anew(machine: FakeMachine) -> None:
    """What a killed set-up left behind before there was a stamp."""
    python = setup_env.venv_python(machine.venv)
    python.parent.mkdir(parents=True)
    python.touch()
    machine.packages.mkdir()
    assert "-m venv" in machine.set_up()[0]
    assert machine.set_up() == []


def test_bare_makes_a_venv_once_and_leaves_the_rest_to_the_set_up(machine: FakeMachine) -> None:
    for commands in (1, 0):
        machine.commands = []
        setup_env.set_up_bare(machine.root)
        assert len(machine.commands) == commands
    machine.set_up()
    assert not machine.did("-m venv")
    assert machine.did("--require-hashes")


# --- a package is gone ----------------------------------------------------------------------------


def gone_folder(site: Path) -> None:
    shutil.rmtree(site / "sklearn")


def emptied_folder(site: Path) -> None:
    (site / "sklearn" / "__init__.py").unlink()


def gone_record(site: Path) -> None:
    shutil.rmtree(site / "scikit_learn-1.9.0.dist-info")


def gone_altogether(site: Path) -> None:
    take(site, "scikit-learn")


@pytest.mark.parametrize("harm", [gone_folder, emptied_folder, gone_record, gone_altogether])
def test_a_deleted_package_is_noticed_and_installed_again(
    machine: FakeMachine, harm: object, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.set_up()
    harm(machine.packages)
    machine.set_up()
    assert "Missing or incomplete in .venv: scikit-learn." in capsys.readouterr().out
    assert (machine.packages / "sklearn" / "__init__.py").read_text() == "# whole\n"
    assert not machine.did("-m venv")
    assert machine.set_up() == []


def test_a_deleted_torch_comes_back_in_the_same_build(machine: FakeMachine) -> None:
    machine.set_up()
    shutil.rmtree(machine.packages / "torch")
    machine.set_up()
    assert machine.did(UV_CPU)
    assert (machine.packages / "torch" / "__init__.py").exists()
    assert machine.set_up() == []


def test_what_came_with_torch_comes_back_with_torch(machine: FakeMachine) -> None:
    machine.set_up()
    put(machine.packages, "nvidia-nccl", "2.1")
    (machine.root / "requirements.lock").write_text(LOCK + "# new\n")
    machine.set_up()
    shutil.rmtree(machine.packages / "nvidia-nccl")
    machine.set_up()
    assert machine.did(UV_CPU)
    assert machine.set_up() == []


def test_a_package_half_installed_by_a_killed_pip_is_installed_again(machine: FakeMachine) -> None:
    machine.set_up()
    (machine.packages / "sklearn" / "__init__.py").write_text("# wh")  # the disk was full
    (machine.packages / "uv-0.13.9.dist-info" / "RECORD").unlink()
    (machine.packages / "~cipy").mkdir()
    setup_stamp.write_state(machine.venv, setup_stamp.INSTALLING)
    machine.set_up()
    assert (machine.packages / "sklearn" / "__init__.py").read_text() == "# whole\n"
    assert (machine.packages / "uv-0.13.9.dist-info" / "RECORD").exists()
    assert not (machine.packages / "~cipy").exists()


def test_an_upgrade_cut_in_half_leaves_one_version(machine: FakeMachine) -> None:
    machine.set_up()
    put(machine.packages, "scikit-learn", "1.8.0")
    setup_stamp.write_state(machine.venv, setup_stamp.INSTALLING)
    machine.set_up()
    assert [path.name for path in machine.packages.glob("scikit_learn*")] == [
        "scikit_learn-1.9.0.dist-info"
    ]


def test_what_you_changed_yourself_is_left_alone(machine: FakeMachine) -> None:
    put_seaborn = ("seaborn", "0.13.2")
    machine.set_up()
    put(machine.packages, *put_seaborn)
    take(machine.packages, "scikit-learn")
    put(machine.packages, "scikit-learn", "1.9.1")
    assert machine.set_up() == []
    take(machine.packages, "seaborn")
    assert machine.set_up() == []


def test_the_check_is_quick(tmp_path: Path) -> None:
    """With as many packages as the course has,
    the check takes a moment and imports none of them.
    """
    site = tmp_path / "site"
    site.mkdir()
    for number in range(200):
        put(site, f"package{number}", "1.0")
    kept = setup_stamp.inventory(site, lambda name: True)
    start = time.perf_counter()
    assert setup_stamp.missing(site, kept) == []
    assert time.perf_counter() - start < 0.2
    shutil.rmtree(site / "package7")
    assert setup_stamp.missing(site, kept) == ["package7"]


def test_a_ready_venv_is_only_looked_at(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a classroom shares a ready .venv read-only,
    there is nothing to write and nothing to say.
    """
    machine.set_up()
    capsys.readouterr()

    def refuse(*arguments: object, **more: object) -> None:
        raise PermissionError(13, "Read-only file system")

    for module, name in (
        (os, "replace"),
        (os, "mkdir"),
        (Path, "mkdir"),
        (Path, "write_text"),
        (Path, "unlink"),
        (setup_stamp.os, "open"),
    ):
        monkeypatch.setattr(module, name, refuse)
    assert machine.set_up() == []
    assert capsys.readouterr() == ("", "")


def test_a_folder_that_cannot_be_written_to_gets_a_clear_message(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, *arguments: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(setup_env, "ROOT", machine.root)
    monkeypatch.setattr(setup_env.SIGNALS, "catch", lambda: None)
    monkeypatch.setattr(sys, "argv", ["setup_env.py"])
    monkeypatch.setattr(setup_stamp.os, "open", refuse)
    assert setup_env.main() == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("The set-up could not go on: [Errno 13] Permission denied")
    assert second.endswith("run the same command again.")


# --- which torch ----------------------------------------------------------------------------------


def test_torch_of_ones_own_is_asked_for_once_and_remembered(machine: FakeMachine) -> None:
    machine.set_up("torch==2.13.0 --index-url FOLDER")
    assert machine.did("pip install torch==2.13.0 --index-url FOLDER")
    assert machine.set_up() == []
    (machine.root / "requirements.lock").write_text("# new\n")
    machine.set_up()
    assert machine.did("--index-url FOLDER")
    assert not machine.did("uninstall")


def test_another_build_replaces_the_one_before(machine: FakeMachine) -> None:
    machine.set_up()
    machine.set_up("torch==2.13.0 --index-url FOLDER")
    assert machine.did(
        "pip uninstall --yes --quiet torch"
    )  # pip would take the old one for the new


def test_torch_already_in_venv_is_kept(machine: FakeMachine) -> None:
    machine.run(["-m venv"])
    put(machine.packages, "torch", "2.12.0+rocm7")
    machine.set_up()
    assert machine.did("--require-hashes")
    assert machine.torch() == "2.12.0+rocm7"


@pytest.mark.parametrize("word", ["", "cpu", "any"])
def test_a_new_pin_of_torch_is_installed(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    machine.set_up(word)
    for module, name in ((setup_env, "PINNED_TORCH"), (setup_torch, "PINNED")):
        monkeypatch.setattr(module, name, "torch==2.14.0")
    machine.uv_builds["cpu"], machine.pip_build = "2.14.0+cpu", "2.14.0"
    take(machine.packages, "torch")  # as uv and pip do when they bring another version
    machine.set_up()
    assert machine.torch().startswith("2.14.0")
    assert machine.did("--torch-backend cpu torch==2.14.0") == (word != "any")
    assert machine.set_up() == []


def test_torch_put_into_venv_later_is_kept_when_a_pin_changes(machine: FakeMachine) -> None:
    machine.set_up()
    take(machine.packages, "torch")
    put(machine.packages, "torch", "2.12.1+cu129")
    assert machine.set_up() == []
    (machine.root / "requirements.lock").write_text("# new\n")
    machine.set_up()
    assert machine.torch() == "2.12.1+cu129"


def test_torch_too_old_for_the_course_is_not_kept(machine: FakeMachine) -> None:
    machine.run(["-m venv"])
    put(machine.packages, "torch", "1.13.1")
    machine.set_up()
    assert machine.did(UV_CPU)


def test_torch_outside_is_linked(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = machine.root / "elsewhere"
    (elsewhere / "torch").mkdir(parents=True)
    (elsewhere / "torch" / "__init__.py").touch()
    monkeypatch.setattr(setup_torch, "outside", lambda venv, root: elsewhere)
    machine.set_up("installed")
    assert not machine.did("torch==")
    assert (machine.packages / setup_torch.LINK).read_text() == f"{elsewhere}\n"
    assert machine.set_up() == []
    monkeypatch.setattr(setup_torch, "outside", lambda venv, root: None)
    shutil.rmtree(elsewhere)  # uninstalled: the pinned one takes its place
    machine.set_up()
    assert machine.did(UV_CPU)
    assert not (machine.packages / setup_torch.LINK).exists()
    assert machine.set_up() == []


def test_insisting_on_a_torch_that_is_not_there_fails(machine: FakeMachine) -> None:
    with pytest.raises(SystemExit, match="TORCH=installed, but there is no torch"):
        machine.set_up("installed")


def test_torch_outside_is_found_where_python_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    for version, found in (("2.12.1+cu129", tmp_path), ("2.2.0", None), ("3.0.0", None)):
        monkeypatch.setattr(metadata, "version", lambda name, version=version: version)
        assert setup_torch.outside(ROOT / ".venv", ROOT) == found


@dataclass(frozen=True)
class Case:
    """One kind of machine, and which torch it should get."""

    system: str
    gpu: str
    word: str
    """What the learner said: TORCH=word."""
    brought: str
    """The version that is installed; "" if the set-up refuses."""
    said: str
    """A part of what is printed."""
    uv_index: bool = True
    """Whether uv reaches its index of torch's builds."""
    cpu_by_pip: bool = False
    """Whether plain pip would bring a build without CUDA."""


CPU_BUILD, CUDA, PLAIN, NOTHING = "2.13.0+cpu", "2.13.0+cu130", "2.13.0", ""
CASES = {
    "Linux": Case("linux", "No GPU", "", CPU_BUILD, "No GPU in sight: installing the CPU build"),
    "Linux, no index, pip has a CPU build": Case(
        "linux",
        "No GPU",
        "",
        PLAIN,
        "cannot be used from here (error: Request failed)",
        uv_index=False,
        cpu_by_pip=True,
    ),
    "Linux, no index": Case(
        "linux", "No GPU", "", NOTHING, "about 2.7 GB to download, 5.7 GB on disk", uv_index=False
    ),
    "Linux, any, no index": Case("linux", "No GPU", "any", PLAIN, "TORCH=any: ", uv_index=False),
    "Linux, NVIDIA": Case("linux", "NVIDIA GPU", "", CUDA, "NVIDIA GPU in sight: "),
    "Linux, NVIDIA, no index": Case(
        "linux", "NVIDIA GPU", "", PLAIN, "the CUDA build", uv_index=False
    ),
    "Linux, NVIDIA, cpu": Case(
        "linux", "NVIDIA GPU", "cpu", CPU_BUILD, "TORCH=cpu: installing the CPU build"
    ),
    "Linux, NVIDIA, cpu, no index": Case(
        "linux", "NVIDIA GPU", "cpu", NOTHING, "make lab TORCH=any", uv_index=False
    ),
    "Linux, NVIDIA, any": Case("linux", "NVIDIA GPU", "any", PLAIN, "TORCH=any: "),
    "Linux, AMD": Case("linux", "AMD GPU", "", CUDA, "AMD GPU in sight: "),
    "Linux, AMD, no index": Case(
        "linux", "AMD GPU", "", NOTHING, "for an AMD GPU could not be had", uv_index=False
    ),
    "macOS": Case("darwin", "No GPU", "", PLAIN, "macOS: installing"),
    "macOS, cpu": Case("darwin", "No GPU", "cpu", PLAIN, "macOS: installing"),
    "Windows": Case("win32", "No GPU", "", PLAIN, "No NVIDIA GPU: installing"),
    "Windows, NVIDIA": Case("win32", "NVIDIA GPU", "", CUDA, "NVIDIA GPU in sight: "),
    "Windows, NVIDIA, no index": Case(
        "win32", "NVIDIA GPU", "", PLAIN, "the CPU build", uv_index=False
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_machine_gets_its_build(
    machine: FakeMachine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: Case,
) -> None:
    monkeypatch.setattr(sys, "platform", case.system)
    monkeypatch.setattr(setup_torch, "WINDOWS", case.system == "win32")
    monkeypatch.setattr(setup_torch, "gpu", lambda: case.gpu)
    machine.uv_builds = machine.uv_builds if case.uv_index else {}
    machine.pip_brings = ["torch"] if case.cpu_by_pip else machine.pip_brings
    message = ""
    try:
        machine.set_up(case.word)
    except SystemExit as stop:
        message = str(stop)
    assert machine.torch() == case.brought
    assert case.said in capsys.readouterr().out + message
    if case.brought:
        assert machine.set_up() == []
    else:  # told to go on, it does, with what is there
        machine.set_up("any")
        assert not machine.did("-m venv")
        assert machine.torch() == PLAIN


@pytest.mark.parametrize(
    ("program", "answer", "status", "seen"),
    [
        ("nvidia-smi", "GPU 0: H200", 0, setup_torch.NVIDIA),
        ("nvidia-smi", "couldn't communicate with the driver", 9, setup_torch.NO_GPU),
        ("rocm_agent_enumerator", "gfx000\ngfx1100", 0, setup_torch.AMD),
        ("rocm_agent_enumerator", "gfx000", 0, setup_torch.NO_GPU),
        ("another", "", 0, setup_torch.NO_GPU),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for the program")
@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a real one here")
def test_a_gpu_is_seen_by_its_tools(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    answer: str,
    status: int,
    seen: str,
) -> None:
    (tmp_path / program).write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\nexit {status}\n")
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert setup_torch.gpu() == seen


# --- two at once ----------------------------------------------------------------------------------


def test_the_second_of_two_waits_and_finds_everything_ready(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slowly(command: list[object], **more: object) -> str:
        if "--requirement" in command:
            inside.set()
            assert go_on.wait(20)
        return machine.run(command, **more)

    monkeypatch.setattr(setup_commands, "run", slowly)
    first = threading.Thread(target=setup_env.set_up, args=(machine.root, ""))
    second = threading.Thread(target=setup_env.set_up, args=(machine.root, ""))
    first.start()
    assert inside.wait(20)
    second.start()
    printed = ""
    while "waiting" not in printed:
        printed += capsys.readouterr().out
        time.sleep(0.01)
    assert "Another set-up is running (since " in printed
    go_on.set()
    for thread in (first, second):
        thread.join(20)
    assert capsys.readouterr().out.endswith("Ready.\n")
    assert len([command for command in machine.commands if "-m venv" in command]) == 1


def test_a_lock_that_nobody_holds_does_not_block(machine: FakeMachine) -> None:
    machine.venv.mkdir()
    (machine.venv / setup_stamp.LOCK).touch()
    machine.set_up()
    assert machine.phase() == setup_stamp.READY
