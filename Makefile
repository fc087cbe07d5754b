# Words to BERT. Every target first sets up .venv if it is missing or stale (scripts/setup_env.py; a moment otherwise).
# Plain make, 3.81 or newer. Without make (Windows): the README shows the same commands by hand.

PYTHON ?= python3
ARGS ?=
# Empty: the torch that is already there, else the pinned one. See "make help".
TORCH ?=
export TORCH
# OpenMP threads that wait must sleep: busy waiting stalls a machine whose cores are shared.
export OMP_WAIT_POLICY = PASSIVE

ifeq ($(OS),Windows_NT)
VENV_PYTHON = .venv/Scripts/python
else
VENV_PYTHON = .venv/bin/python
endif

PYTEST = $(VENV_PYTHON) -m pytest -n logical --maxprocesses 4 --dist loadfile
NBVAL = --nbval --nbval-current-env --nbval-cell-timeout 240 --nbval-kernel-startup-timeout 120
# Without ARGS the main job starts from course-bert, on the course's own reviews.
FINETUNE = --max-length 128 --learning-rate 3e-4
LOCK = --universal --python-version 3.11 --fork-strategy fewest --extra lab --extra setup --extra test \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-package torch \
	--custom-compile-command "make lock" --quiet

.PHONY: help setup lab work test finetune notebooks lint lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo
	@echo '  TORCH=installed      insist on a torch that is already there: in .venv, or for the Python that runs this'
	@echo '  TORCH=cpu            the CPU build, also on a machine with a GPU'
	@echo '  TORCH=any            whatever build pip chooses; on Linux that holds CUDA, 5.7 GB on disk'
	@echo '  TORCH="torch==X ..." what to hand to "pip install" for torch, an --index-url included'
	@echo '                       (no TORCH: one that is already there, else the pinned one in the build for this machine:'
	@echo '                       the CPU build, or with a GPU the one for its driver; .venv remembers the choice)'
	@echo '  PYTHON=python3.12    the Python that .venv is made with'
	@echo '  ARGS="..."           more arguments for lab, test, notebooks and lock; for finetune, all of them'

setup: ## create or update .venv
	@$(PYTHON) scripts/setup_env.py

lab: setup ## open the course in JupyterLab
	$(VENV_PYTHON) scripts/lab.py $(ARGS)

work: setup ## copy the notebooks into work/, yours to change; again after a git pull
	$(VENV_PYTHON) scripts/work.py

# One thread a worker: the workers already fill the cores. The network stays off. No exercise counts as solved, and no
# training as done.
test: export HF_HUB_OFFLINE = 1
test: export COURSE_PROGRESS_FILE =
test: export COURSE_RUNS_DIR =
test: export OMP_NUM_THREADS = 1
test: setup ## all tests, and every notebook run and compared with its stored outputs
	$(PYTEST) $(ARGS)
	$(PYTEST) $(NBVAL) notebooks

finetune: setup ## the main job without a browser: fine-tune, evaluate, write result.json
	$(VENV_PYTHON) -m course_utils.finetune $(or $(ARGS),$(FINETUNE))

notebooks: export HF_HUB_OFFLINE = 1
notebooks: export COURSE_PROGRESS_FILE =
notebooks: setup ## run all notebooks and store their outputs
	$(VENV_PYTHON) scripts/run_notebooks.py $(ARGS)

lint: setup ## ruff over code and notebooks (layout and rules), their first cells, and the badges
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) scripts/first_cells.py --check
	$(VENV_PYTHON) scripts/badges.py --check
	$(VENV_PYTHON) scripts/table_of_contents.py --check
	$(VENV_PYTHON) scripts/notebooks_table.py --check

lock: ## pin one version of everything within pyproject.toml's ranges (ARGS=--upgrade: the newest)
	@$(PYTHON) scripts/setup_env.py --bare
	$(VENV_PYTHON) -m pip install --quiet "uv>=0.9,<1"
	$(VENV_PYTHON) -m uv pip compile pyproject.toml $(LOCK) --output-file requirements.lock $(ARGS)

clean: ## remove .venv and what the tools left behind; work/ and runs/ stay
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find course_utils data experiments notebooks scripts tests \( -name __pycache__ -o -name .ipynb_checkpoints \) \
		-prune -exec rm -rf {} +
