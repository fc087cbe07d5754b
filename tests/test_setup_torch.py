"""Which build of torch a machine gets: real venv, real pip and real uv,
against an index on 127.0.0.1.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import setup_env
import setup_stamp
import setup_torch
from loopback_index import Index, torch_wheel, wheel

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere, plain pip has the right build"
)
REAL_DRIVER = Path("/proc/driver/nvidia/version").exists()
UV = """import os, sys
os.execv({uv!r}, ["uv", *sys.argv[1:]])
"""
BACKEND = """import pathlib, zipfile
def build_editable(folder, *_):
    name = "words_to_bert-0.1.0-py3-none-any.whl"
    info = "words_to_bert-0.1.0.dist-info"
    files = {
        "course.pth": [str(pathlib.Path.cwd())],
        f"{info}/METADATA": ["Metadata-Version: 2.1", "Name: words-to-bert", "Version: 0.1.0"],
        f"{info}/WHEEL": ["Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any"],
    }
    files[f"{info}/RECORD"] = [f"{path},," for path in [*files, f"{info}/RECORD"]]
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        for path, lines in files.items():
            wheel.writestr(path, "".join(f"{line}\\n" for line in lines))
    return name
"""
# As in the course: for the lock, torch needs what a CPU needs. uv must not believe it for a GPU.
PYPROJECT = """[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "words-to-bert"
version = "0.1.0"
dependencies = ["torch>=2.9,<3"]
[[tool.uv.dependency-metadata]]
name = "torch"
requires-dist = ["filelock"]
"""
STUBS = {  # what uv asks of a machine with a GPU
    "NVIDIA GPU": (
        "nvidia-smi",
        'case "$*" in *driver_version*) echo 580.65.06 ;; *) echo "GPU 0" ;; esac',
    ),
    "AMD GPU": ("rocm_agent_enumerator", "echo gfx000; echo gfx1100"),
}


def real_pip() -> tuple[str, bytes]:
    """This environment's pip, as a wheel: recent enough to plan without downloading."""
    pip = metadata.distribution("pip")
    paths = [path for path in pip.files if path.parts[0] == "pip" and path.suffix != ".pyc"]
    return wheel("pip", pip.version, {str(path): path.read_binary() for path in paths})


def all_wheels() -> dict[str, bytes]:
    """The ordinary index: stand-ins for what the course pins, and the torch that brings CUDA."""
    import uv

    modules = {"matplotlib/__init__.py": b""}
    for name in setup_env.IMPORTED:
        if name not in ("torch", "course_utils"):
            modules[f"{name.replace('.', '/')}.py" if "." in name else f"{name}/__init__.py"] = b""
    return dict(
        [
            real_pip(),
            wheel(
                "uv",
                "0.13.9",
                {"uv/__init__.py": b"", "uv/__main__.py": UV.format(uv=uv.find_uv_bin()).encode()},
            ),
            wheel("course-needs", "1.0", modules),
            wheel("filelock", "4.0", {"filelock/__init__.py": b""}),
            wheel("nvidia-nccl", "2.1", {"nvidia_nccl/__init__.py": b""}),
            wheel("triton", "3.1", {"triton/__init__.py": b""}),
            torch_wheel("", ("filelock", "nvidia-nccl==2.1", "triton")),
        ]
    )


class Course:
    """A small course in a folder of its own; the index stands by."""

    def __init__(
        self, root: Path, index: Index, capfd: pytest.CaptureFixture[str] | None = None
    ) -> None:
        self.root, self.index, self.capfd, self.said = root, index, capfd, ""
        self.site = next((root / ".venv" / "lib").glob("python*/site-packages"), None)

    def set_up(self, word: str = "") -> list[str]:
        """Set up; returns what there is of torch and CUDA,
        and leaves in `said` all that was printed.
        """
        message = ""
        try:
            setup_env.set_up(self.root, word)
        except SystemExit as stop:
            message = str(stop)
        if self.capfd:
            printed = self.capfd.readouterr()
            self.said = printed.out + printed.err + message
        return self.installed()

    def installed(self) -> list[str]:
        found = setup_stamp.records(self.site)
        return [found[name][0].stem for name in ("nvidia-nccl", "torch", "triton") if name in found]


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with Index(all_wheels()) as started:
        yield started
        started.shutdown()


@pytest.fixture(autouse=True)
def machine(
    index: Index, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No settings but these, no GPU, and a way out that leads to the index."""
    settle(index, tmp_path_factory.mktemp("home"), monkeypatch)


def settle(index: Index, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("PIP_", "UV_", "SSL_CERT")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    index.authority.cert_pem.write_to_path(str(home / "authority.pem"))
    index.asked.clear()
    index.mood = "answers"
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_COMPILE": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_INDEX_URL": f"{index.address}/simple",
        "HTTPS_PROXY": index.address,
        "XDG_CONFIG_HOME": str(home),
        "SSL_CERT_FILE": str(home / "authority.pem"),
        "UV_CACHE_DIR": str(home / "cache"),
        "UV_LINK_MODE": "copy",
    }.items():
        monkeypatch.setenv(name, value)
    setup_env.pinned.cache_clear()
    monkeypatch.setattr(setup_torch, "gpu", lambda: setup_torch.NO_GPU)
    monkeypatch.setattr(setup_torch, "outside", lambda venv, root: None)


@pytest.fixture(scope="module")
def template(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course set up from nothing, once."""
    root = tmp_path_factory.mktemp("template") / "course"
    (root / "course_utils").mkdir(parents=True)
    (root / "course_utils" / "__init__.py").touch()
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(PYPROJECT)
    pins = []
    for name, content in index.wheels.items():
        package, version, *_ = name.split("-")
        if package not in ("torch", "triton", "nvidia_nccl"):
            pins.append(
                f"{package}=={version} \\\n"
                f"    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"
            )
    (root / "requirements.lock").write_text("".join(pins))
    with pytest.MonkeyPatch.context() as monkeypatch:
        settle(index, tmp_path_factory.mktemp("first"), monkeypatch)
        setup_env.set_up(root, "")
    return root


@pytest.fixture
def course(
    template: Path, index: Index, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Course:
    """A copy of it as of the moment before torch was installed."""
    root = tmp_path / "course"
    shutil.copytree(template, root, symlinks=True)
    made = Course(root, index, capfd)
    setup_stamp.forget(made.site, "torch")
    (root / ".venv" / setup_stamp.STATE).unlink()
    return made


def fetched(index: Index) -> list[str]:
    """The wheels that were downloaded."""
    return [Path(path).name.replace("%2B", "+") for path in index.asked if path.endswith(".whl")]


def test_from_nothing_without_a_gpu_the_cpu_build_comes(template: Path, index: Index) -> None:
    assert Course(template, index).installed() == ["torch-2.13.0+cpu"]
    assert setup_stamp.read_state(template / ".venv")["phase"] == setup_stamp.READY
    pip = subprocess.run(
        [setup_env.venv_python(template / ".venv"), "-m", "pip", "--version"],
        check=True,
        text=True,
        capture_output=True,
    ).stdout
    assert pip.split()[1] == metadata.version(
        "pip"
    )  # the lock's, not the one that Python came with


def test_no_gpu(course: Course) -> None:
    assert course.set_up() == ["torch-2.13.0+cpu"]
    assert "No GPU in sight: installing the CPU build of torch==2.13.0" in course.said
    assert "/whl/cpu/torch/" in course.index.asked
    assert fetched(course.index) == ["torch-2.13.0+cpu-py3-none-any.whl"]
    assert course.set_up() == ["torch-2.13.0+cpu"]
    assert course.said == ""


@pytest.mark.skipif(REAL_DRIVER, reason="uv would see the real driver")
@pytest.mark.parametrize(("seen", "builds"), [("NVIDIA GPU", "cu"), ("AMD GPU", "rocm")])
def test_a_gpu_gets_the_build_for_its_driver(
    course: Course, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seen: str, builds: str
) -> None:
    program, script = STUBS[seen]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / program).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin" / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(setup_torch, "gpu", lambda: seen)
    *cuda, torch = course.set_up()
    assert torch.startswith(f"torch-2.13.0+{builds}"), course.said
    assert cuda == (["nvidia_nccl-2.1"] if builds == "cu" else [])
    assert f"{seen} in sight: installing torch==2.13.0" in course.said


def test_not_reached_the_size_is_said_and_nothing_is_fetched(course: Course) -> None:
    course.index.mood = "refuses"
    assert course.set_up() == []
    assert "about 2.7 GB to download, 5.7 GB on disk" in course.said
    assert "make lab TORCH=any" in course.said
    assert fetched(course.index) == []  # pip planned without downloading
    assert course.set_up("any") == ["nvidia_nccl-2.1", "torch-2.13.0", "triton-3.1"]
    assert "Creating" not in course.said


def test_a_silent_network_costs_a_bounded_time_and_a_wheel_at_hand_is_taken(
    course: Course, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name, content = torch_wheel("cpu", ("filelock",))
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / name).write_bytes(content)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    assert setup_torch.REACH_SECONDS <= 30
    monkeypatch.setattr(setup_torch, "REACH_SECONDS", 1.5)
    course.index.mood = "is silent"
    assert course.set_up() == ["torch-2.13.0+cpu"]
    assert "(no answer in 2 s). Looking at what pip has" in course.said


def test_what_torch_says_is_done(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, on a machine with a GPU: any, nothing more, cpu, and words for pip."""
    monkeypatch.setattr(setup_torch, "gpu", lambda: setup_torch.NVIDIA)
    assert course.set_up("any") == ["nvidia_nccl-2.1", "torch-2.13.0", "triton-3.1"]
    assert "CONNECT" not in course.index.asked  # plain pip
    assert course.set_up() == ["nvidia_nccl-2.1", "torch-2.13.0", "triton-3.1"]
    assert course.said == ""
    assert course.set_up("cpu")[1] == "torch-2.13.0+cpu"
    assert "TORCH=cpu: installing the CPU build" in course.said
    course.index.asked.clear()
    assert (
        course.set_up(f"torch==2.13.0 --no-deps --index-url {course.index.address}/simple")[1]
        == "torch-2.13.0"
    )
    assert "CONNECT" not in course.index.asked
