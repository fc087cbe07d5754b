"""The rules of the house that a machine can hold: who imports whom, what is small,
what is explicit.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "course_utils"

# The layers, from the ground up: each room of the package, a subpackage or a module, and the rooms
# that it may import. What a room imports must be needed, and stand in a room before it.
LAYERS: dict[str, set[str]] = {
    "config": set(),
    "container": set(),
    "files": set(),
    "progress": set(),
    "environment": {"container"},
    "text": set(),
    "tokenization": {"files", "text"},
    "data": {"files", "text"},
    "models": {"config", "files"},
    "training": {"config", "container", "data", "files", "models", "progress"},
    "evaluation": {"data"},
    "plots": {"config"},
    "tasks": {
        "config",
        "data",
        "evaluation",
        "files",
        "models",
        "progress",
        "text",
        "tokenization",
        "training",
    },
    "checks": {"data", "evaluation", "tokenization"},
    "command_line": {"progress"},
    "finetune": {"command_line", "config", "tasks"},
    "pretrain": {"command_line", "config", "tasks"},
    "predict": {"tasks"},
}
COMMAND_LINES = {"command_line", "finetune", "predict", "pretrain"}  # the only ones that print
FREE_OF_LIBRARIES = {"config", "container", "text"}  # the standard library is enough for these
# Public names that nothing in the package, no notebook and no command line reaches, and why they
# stay.
UNREACHED: dict[str, str] = {
    "evaluation.predictions.answer_key": "experiments/evaluation_answers.py calls it in a notebook",
    "container.memory_limit": "the limit itself, beside what is left of it; the tests read both",
}

# Names of distributions that differ from the name one imports.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml"}


def module_files() -> list[Path]:
    """All modules of the package, checks/ included, but for __init__.py files."""
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(path: Path) -> str:
    """The subpackage that a module belongs to, or the module itself where it stands alone."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


FILES = module_files()
MODULES = [pytest.param(path, id=name_of(path)) for path in FILES]
SOURCES = sorted(
    {
        *PACKAGE.rglob("*.py"),
        *(ROOT / "scripts").glob("*.py"),
        *(ROOT / "experiments").glob("*.py"),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "data").rglob("*.py"),
    }
)


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that a tree imports, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> Iterator[list[str]]:
    """What a module imports from the package, each as the parts of its dotted name."""
    for name in imports_of(tree_of(path)):
        assert not name.startswith("."), (
            f"{path}: write course_utils.X in full, not a relative import"
        )
        first, *parts = name.split(".")
        if first == "course_utils" and parts:
            yield parts


def rooms_imported_by(room: str) -> set[str]:
    """The other rooms of the package that the modules of a room import."""
    paths = [path for path in FILES if room_of(path) == room]
    return {parts[0] for path in paths for parts in own_imports(path)} - {room}


def libraries(path: Path) -> set[str]:
    """The top-level third-party names that a file imports."""
    own = {name for other in SOURCES for name in (other.stem, other.parent.name)}
    tops = {name.split(".")[0] for name in imports_of(tree_of(path))} - {""}
    return tops - set(sys.stdlib_module_names) - own


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function and method of a module with its dotted name."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}.{child.name}", child
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            yield from walk(child, f"{prefix}.{child.name}" if named else prefix)

    return walk(tree_of(path), name_of(path))


def public(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Public functions, public classes, and the public methods of those."""
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{name_of(path)}.{node.name}", node
            for child in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
                    yield f"{name_of(path)}.{node.name}.{child.name}", child


# --- who imports whom -----------------------------------------------------------------------------


@pytest.mark.parametrize("room", LAYERS)
def test_a_room_imports_what_its_layer_may(room: str) -> None:
    found = rooms_imported_by(room)
    assert found <= LAYERS[room], f"{room} may not import {sorted(found - LAYERS[room])}"
    assert found == LAYERS[room], f"{room} need not be allowed {sorted(LAYERS[room] - found)}"


def test_each_room_has_a_layer() -> None:
    assert set(LAYERS) == {room_of(path) for path in FILES}


def test_layers_run_one_way() -> None:
    below: set[str] = set()
    for room, needs in LAYERS.items():
        assert needs <= below, f"{room} imports rooms that stand above it: {sorted(needs - below)}"
        below.add(room)


def test_modules_of_a_room_import_each_other_one_way() -> None:
    needs = {}
    for path in FILES:
        room = path.relative_to(PACKAGE).parts[:-1]
        inside = {".".join(parts[: len(room) + 1]) for parts in own_imports(path)}
        modules = {".".join((*room, other.stem)) for other in path.parent.glob("*.py")}
        assert ".".join(room) not in inside or not room, f"{path}: import the sibling itself"
        needs[name_of(path)] = inside & modules
    placed: set[str] = set()
    while ready := {name for name, others in needs.items() if others <= placed} - placed:
        placed |= ready
    assert placed == set(needs), f"a circle of imports: {sorted(set(needs) - placed)}"


def test_package_imports_nothing_by_itself() -> None:
    assert list(imports_of(tree_of(PACKAGE / "__init__.py"))) == []


@pytest.mark.parametrize("path", MODULES)
def test_matplotlib_belongs_to_plots(path: Path) -> None:
    assert "matplotlib" not in libraries(path) or room_of(path) == "plots"


@pytest.mark.parametrize("path", [p for p in FILES if room_of(p) in FREE_OF_LIBRARIES], ids=name_of)
def test_ground_needs_no_library(path: Path) -> None:
    assert libraries(path) == set()


def test_every_library_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    names = {True: project["dependencies"], False: project["dependencies"] + extras}
    for path in SOURCES:
        lines = names[PACKAGE in path.parents]  # the package may not count on the extras
        declared = {re.match(r"[\w.-]+", line)[0].lower() for line in lines}
        imported = {DISTRIBUTIONS.get(name, name).lower() for name in libraries(path)}
        assert imported <= declared, (
            f"{path.relative_to(ROOT)} imports what pyproject.toml does not name"
        )


# --- small ----------------------------------------------------------------------------------------


def notebook_code() -> str:
    """All code of the notebooks and the solutions."""
    cells: list[str] = []
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        cells += ["".join(cell["source"]) for cell in code]
    return "\n".join(cells)


def names_used(tree: ast.AST) -> set[str]:
    """Every identifier that a tree reads, imports or asks an object for."""
    read = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    names = {node.id for node in read if isinstance(node.ctx, ast.Load)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return names | {name.rpartition(".")[2] for name in imports_of(tree)}


def public_names(path: Path) -> set[str]:
    """The public functions, classes and constants of a module."""
    found: set[str] = set()
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        for target in node.targets if isinstance(node, ast.Assign) else []:
            found |= {name.id for name in ast.walk(target) if isinstance(name, ast.Name)}
        if isinstance(node, ast.AnnAssign):
            found.add(ast.unparse(node.target))
    return {name for name in found if not name.startswith("_")}


def functions_of(path: Path) -> set[str]:
    """The names of a module's own functions, methods apart."""
    return {node.name for node in tree_of(path).body if isinstance(node, ast.FunctionDef)}


def test_every_public_name_is_reached() -> None:
    """What one notebook alone uses stays there, what only measures in experiments/.

    A class or a constant may be reached through its own module, whose functions take or return it.
    A function must be called from elsewhere, else its name begins with _; from an experiment it
    counts if its own module calls it as well.
    """
    measuring = [tree_of(path) for path in (ROOT / "experiments").glob("*.py")]
    measured = set().union(*(names_used(tree) for tree in measuring))
    used = {path: names_used(tree_of(path)) for path in FILES}
    taught = names_used(ast.parse(notebook_code()))
    unreached = set()
    for path in FILES:
        elsewhere = taught.union(*(names for other, names in used.items() if other != path))
        elsewhere |= used[path] - functions_of(path) | used[path] & measured
        if room_of(path) not in COMMAND_LINES:  # a person reaches these
            unreached |= {f"{name_of(path)}.{name}" for name in public_names(path) - elsewhere}
    assert unreached - set(UNREACHED) == set(), "remove these, or begin their names with _"
    assert set(UNREACHED) - unreached == set(), "these are reached, and need their excuse no more"


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
PLAIN = [path for path in SOURCES if "tests" not in path.relative_to(ROOT).parts]


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_comprehension_stands_within_another(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, COMPREHENSIONS):
            inner = [child for child in ast.walk(node) if isinstance(child, COMPREHENSIONS)]
            assert inner == [node], f"line {node.lineno}: write a loop, or name the inner part"


def test_ruff_finds_nothing() -> None:
    """The formatter's layout, and the limits on complexity and on arguments."""
    for command in (["check", "."], ["format", "--check", "."]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache"],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert done.returncode == 0, done.stdout + done.stderr


# --- explicit -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MODULES)
def test_public_functions_are_documented_and_typed(path: Path) -> None:
    for name, node in public(path):
        if not name.endswith(".forward"):  # a module's class says what goes in and what comes out
            assert ast.get_docstring(node), f"{name} has no docstring"
    for name, function in functions(path):
        args = function.args
        named = [
            *args.posonlyargs,
            *args.args,
            *args.kwonlyargs,
            *filter(None, (args.vararg, args.kwarg)),
        ]
        bare = [
            arg.arg for arg in named if arg.annotation is None and arg.arg not in ("self", "cls")
        ]
        assert not bare, f"{name}: no type for {', '.join(bare)}"
        assert function.returns is not None, f"{name}: no return type"


@pytest.mark.parametrize("path", MODULES)
def test_public_dataclasses_are_frozen(path: Path) -> None:
    for _, node in public(path):
        for decorator in node.decorator_list if isinstance(node, ast.ClassDef) else []:
            if "dataclass" in ast.unparse(decorator):
                assert "frozen=True" in ast.unparse(decorator), (
                    f"{node.name} is a dataclass that is not frozen"
                )


@pytest.mark.parametrize("path", [p for p in FILES if name_of(p) not in COMMAND_LINES], ids=name_of)
def test_nothing_is_printed(path: Path) -> None:
    if name_of(path).startswith("checks."):
        pytest.skip("the checks speak to the learner")
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    printing = [
        call.lineno
        for call in calls
        if ast.unparse(call.func)
        in ("print", "sys.stdout.write", "sys.stderr.write", "warnings.simplefilter")
    ]
    assert printing == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_unpickled(path: Path) -> None:
    unsafe = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    assert not unsafe & {name.split(".")[0] for name in imports_of(tree_of(path))}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert "trust_remote_code" not in given, f"line {node.lineno}"
            assert "allow_pickle" not in given, f"line {node.lineno}"
            if ast.unparse(node.func) == "torch.load":
                assert given.get("weights_only") == "True", (
                    f"line {node.lineno}: weights_only=True is missing"
                )


# --- importing is silent and cheap ----------------------------------------------------------------


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import course_utils; "
        "print(sorted(set(sys.modules) - before))"
    )
    assert run_python(code, cwd=ROOT).strip() == "['course_utils']"


def test_importing_the_package_takes_no_time() -> None:
    def microseconds() -> int:
        command = [sys.executable, "-X", "importtime", "-c", "import course_utils"]
        report = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT
        ).stderr
        line = next(line for line in report.splitlines() if line.endswith(" course_utils"))
        return int(line.split("|")[1])

    assert min(microseconds() for _ in range(3)) < 50_000  # a bare package takes 1,000


SILENT_IMPORT = """
import importlib, json, os, pathlib, random, socket, sys
sys.path.insert(0, sys.argv[1])
modules, libraries = json.loads(sys.argv[2])

for library in libraries:  # what they do on import is theirs
    importlib.import_module(library[0])
    if library[1:]:
        getattr(importlib.import_module(library[0]), library[1], None)
import numpy, torch

def refuse(*args, **kwargs):
    raise OSError("importing must not use the network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse

def state():
    # as text: a numpy array has no plain equality
    return {"environment": dict(os.environ), "folder": os.getcwd(),
            "python": repr(random.getstate()),
            "numpy": repr(numpy.random.get_state(legacy=False)["state"]),
            "torch": torch.get_rng_state().tolist(), "threads": torch.get_num_threads(),
            "dtype": str(torch.get_default_dtype()),
            "files": sorted(map(str, pathlib.Path.home().rglob("*")))}

before = state()
for module in modules:
    importlib.import_module(module)
after = state()
for key in before:
    if before[key] != after[key]:
        change = f"importing changed the {key} from {before[key]} to {after[key]}"
        raise SystemExit(change[:2000])
"""


def run_python(code: str, *arguments: str, cwd: Path, **environment: str) -> str:
    """Run code in a fresh interpreter; returns stdout,
    and fails with stderr if it failed or wrote there.
    """
    env = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr
    return done.stdout


def third_party_imports() -> list[list[str]]:
    """What the package imports from elsewhere: [module],
    or [module, name] for "from module import name".
    """
    nodes = [node for path in FILES for node in ast.walk(tree_of(path))]
    plain = [[alias.name] for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    named = [
        [node.module, alias.name]
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    own = {"course_utils", *sys.stdlib_module_names}
    return [name for name in sorted([*plain, *named]) if name[0].split(".")[0] not in own]


def test_importing_has_no_side_effects(tmp_path: Path) -> None:
    names = [[f"course_utils.{name_of(path)}" for path in FILES], third_party_imports()]
    assert (
        run_python(SILENT_IMPORT, str(ROOT), json.dumps(names), cwd=tmp_path, HOME=str(tmp_path))
        == ""
    )


@pytest.mark.parametrize("path", MODULES)
def test_environment_is_not_read_on_import(path: Path) -> None:
    inside = {id(node) for _, function in functions(path) for node in ast.walk(function)}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and id(node) not in inside:
            assert ast.unparse(node) not in ("os.environ", "os.getenv"), f"line {node.lineno}"
