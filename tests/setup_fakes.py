"""Stand-ins for what the set-up script calls: a pip that only takes notes,
and packages of two files.
"""

import json
import shutil
import subprocess
from pathlib import Path

import setup_env
import setup_stamp
import setup_torch

ROOT = Path(__file__).resolve().parent.parent
LOCK = "scikit-learn==1.9.0 \\\n    --hash=sha256:00\nuv==0.13.9 \\\n    --hash=sha256:00\n"
FOLDERS = {
    "scikit-learn": "sklearn",
    "words-to-bert": "course_utils",
}  # where it differs from the name


def put(site: Path, name: str, version: str) -> None:
    """What an installed package leaves in site-packages;
    its list of files comes last, as with pip.
    """
    folder, info = (
        site / FOLDERS.get(name, name),
        site / f"{name.replace('-', '_')}-{version}.dist-info",
    )
    for path in (folder, info):
        path.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text("# whole\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    listed = (
        f"{folder.name}/__init__.py,sha256=x,8",
        f"{info.name}/METADATA,,",
        f"{info.name}/RECORD,,",
    )
    (info / "RECORD").write_text("\n".join(listed))


def take(site: Path, name: str) -> None:
    """Uninstall."""
    for info in site.glob(f"{name.replace('-', '_')}-*.dist-info"):
        shutil.rmtree(info)
    shutil.rmtree(site / FOLDERS.get(name, name), ignore_errors=True)


class FakeMachine:
    """Stands in for `venv`, `pip` and `uv`: writes down each command and leaves
    the files that matter.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.commands, self.breaks_at = root, [], None
        self.venv = root / ".venv"
        self.packages = self.venv / "site-packages"
        self.uv_builds = {
            "cpu": "2.13.0+cpu",
            "auto": "2.13.0+cu130",
        }  # what uv's index has; empty: not reached
        self.pip_build, self.pip_brings = (
            "2.13.0",
            ["torch", "filelock", "nvidia-nccl-cu13", "triton"],
        )

    def run(
        self,
        command: list[object],
        *,
        variables: object = None,
        timeout: object = None,
        folder: object = None,
        quiet: bool = False,
    ) -> str:
        words = " ".join(str(word) for word in command).replace(str(self.root), ".")
        if "sysconfig" in words:
            return f"{self.packages}\n"
        self.commands.append(words)
        if "-m venv" in words:  # as venv does: Python comes first, and pip a few seconds later
            self.packages.mkdir(parents=True)
            python = setup_env.venv_python(self.venv)
            python.parent.mkdir()
            python.touch()
        if self.breaks_at and self.breaks_at[0] in words and "--dry-run" not in words:
            raise self.breaks_at[1]
        self.leave(words, command)
        return "Ready\n"

    def leave(self, words: str, command: list[object]) -> None:
        """The files that a command leaves when it has done its work."""
        if "-m venv" in words:
            put(self.packages, "pip", "26.3")
        elif "--requirement" in words:
            self.install_lock()
        elif "--torch-backend" in words:
            self.install_by_uv(words)
        elif "--dry-run" in words:
            self.plan(Path(command[command.index("--report") + 1]))
        elif "pip install torch" in words:
            put(self.packages, "torch", self.pip_build)
        elif "uninstall" in words:
            take(self.packages, "torch")
        elif "--editable" in words:
            put(self.packages, "words-to-bert", "0.1.0")

    def install_lock(self) -> None:
        """Install what the lock pins and site-packages lacks."""
        for line in (self.root / "requirements.lock").read_text().splitlines():
            name, _, version = line.rstrip(" \\").partition("==")
            if not version:
                continue
            if not list(self.packages.glob(f"{name.replace('-', '_')}-{version}.dist-info")):
                put(self.packages, name, version)

    def install_by_uv(self, words: str) -> None:
        """Install torch in the build asked for; CalledProcessError if uv's index is not reached."""
        build = self.uv_builds.get(words.split("--torch-backend ")[1].split()[0])
        if build is None:
            said = "Using Python 3.11\nerror: Request failed\n  cause: no address"
            raise subprocess.CalledProcessError(2, words, stderr=said)
        if "--dry-run" not in words:
            put(self.packages, "torch", build)

    def plan(self, report: Path) -> None:
        """Write down what pip would install."""
        plan = [{"metadata": {"name": name}} for name in self.pip_brings]
        report.write_text(json.dumps({"install": plan}))

    def set_up(self, torch: str = "") -> list[str]:
        """Set up once; returns what was run."""
        self.commands = []
        setup_env.pinned.cache_clear()  # a process reads the lock once
        setup_env.set_up(self.root, torch)
        return self.commands

    def did(self, part: str) -> bool:
        return any(part in command for command in self.commands)

    def phase(self) -> str:
        return setup_stamp.read_state(self.venv)["phase"]

    def torch(self) -> str:
        return setup_torch.in_venv(self.packages, self.root)


# Stands in for Python with venv, pip and uv, one file after the other. Like pip, it takes a package
# for installed as soon as it sees METADATA. Each file is one step; at step STOP_STEP it sends
# STOP_BY to the set-up, and goes on slowly; with STOP_ALL it ends itself as well, as when a
# terminal is closed.
PYTHON = r"""#!/bin/sh
root=$(cd "$(dirname "$0")" && pwd); root=${root%/.venv/bin}
site=$root/.venv/site-packages
if [ -e "$root/busy" ] && kill -0 "$(cat "$root/busy")" 2>/dev/null; then
    echo "$*" >> "$root/overlap"
fi
echo $$ > "$root/busy"
step() {
    echo step >> "$root/steps"
    if [ -n "$STOP_STEP" ]; then
        if [ -n "$stopped" ]; then sleep 0.01; fi
        if [ "$(wc -l < "$root/steps")" -eq "$STOP_STEP" ]; then
            kill "-$STOP_BY" $PPID
            if [ -n "$STOP_ALL" ]; then rm "$root/busy"; kill "-$STOP_BY" $$; fi
            stopped=yes; sleep 0.05
        fi
    fi
}
put() {  # folder, name in the dist-info, version
    info=$site/$2-$3.dist-info
    if [ -e "$info/METADATA" ]; then return; fi
    mkdir -p "$site/$1"; step
    echo '# whole' > "$site/$1/__init__.py"; step
    mkdir -p "$info"; echo "Name: $2" > "$info/METADATA"; step
    echo "$1/__init__.py,sha256=x,8" > "$info/RECORD"
}
for tool in pip uv; do
    case "$*" in
    "-m $tool "*)
        if [ ! -e "$site/$tool/__init__.py" ]; then
            echo "No module named $tool" >&2; exit 1
        fi ;;
    esac
done
case "$*" in
*sysconfig*) echo "$site" ;;
*"-m venv "*)
    step; mkdir -p "$root/.venv/bin"; cp "$0" "$root/.venv/bin/python"; step
    mkdir -p "$site"; put pip pip 26.3 ;;
*--requirement*) put sklearn scikit_learn 1.9.0; put uv uv 0.13.9 ;;
*--dry-run*) ;;
*--torch-backend*|*"pip install torch"*) put torch torch 2.13.0+cpu ;;
*--editable*) put course_utils words_to_bert 0.1.0 ;;
*"import torch"*)
    for name in torch sklearn uv course_utils; do
        if [ "$(cat "$site/$name/__init__.py")" != '# whole' ]; then exit 1; fi
    done
    echo Ready ;;
*) echo "What is $*?" >&2; exit 1 ;;
esac
if [ -e "$root/busy" ]; then rm "$root/busy"; fi
"""
