"""Set-ups in processes of their own, with a shell script for Python,
pip and uv: python tests/setup_child.py

Reads one job per line (JSON: root, log, and the environment variables below) and prints its exit
status, negative for a signal. Each job is a fork, so that the imports are paid once.
    STOP_AT=N, STOP_BY=SIGTERM  end the set-up before its N-th change to a file below root, or start
                                of a command
    STOP_STEP=N, STOP_BY=TERM   the same at the N-th step of the shell script, with STOP_ALL that as
                                well
Without a stop, the number of changes goes to the file "changes".
"""

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import setup_env
import setup_torch

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "subprocess.Popen"}


def watch(root: str, stop: int, by: int) -> list[str]:
    """From here on, write down what this process does to files below root,
    and end it at the given number.
    """
    seen: list[str] = []

    def look(event: str, details: tuple) -> None:
        if event == "open":
            path, _, flags = details
            counts = str(path).startswith(root) and bool(flags & (os.O_WRONLY | os.O_RDWR))
        else:
            counts = event in CHANGES and root in str(details[0])
        if counts:
            seen.append(event)
            if len(seen) == stop:
                os.kill(os.getpid(), by)

    sys.addaudithook(look)
    return seen


def job(root: str, log: str, environment: dict[str, str]) -> int:
    """Set up root as on Linux without a GPU."""
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    setup_env.ROOT = Path(root)
    setup_torch.gpu = lambda: setup_torch.NO_GPU
    setup_torch.outside = lambda venv, root: None
    sys._base_executable = f"{root}/python"
    sys.argv[1:] = []
    stop, by = int(environment.get("STOP_AT", 0)), environment.get("STOP_BY", "SIGTERM")
    seen = watch(root, stop, getattr(signal, by, signal.SIGTERM))
    status = setup_env.main()
    Path(root, "changes").write_text(str(len(seen)))
    return status


def main() -> None:
    """Answer jobs until there are no more."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 99
            try:
                status = job(**json.loads(line))
            except SystemExit as stop:
                print(stop, file=sys.stderr)
                status = 1
            finally:
                sys.stdout.flush()
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
