# The course in a container: one for each learner of a class, or one at home. The README has the commands.
# The first stage is also what .devcontainer/devcontainer.json starts from: there the repository is mounted over the
# folder of the course, which would hide a .venv that lies in the image, so the set-up runs when the container is made.
FROM python:3.12-slim AS system
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
# Not root: what a learner runs may change the course and the home folder, and nothing else.
RUN useradd --create-home --uid 1000 --shell /bin/bash learner \
    && install --directory --owner learner --group learner /home/learner/words-to-bert
USER learner
# Threads that wait must sleep, as in the Makefile; an editor that starts the kernels itself does not read that.
ENV OMP_WAIT_POLICY=PASSIVE

FROM system AS course
WORKDIR /home/learner/words-to-bert
# First only what the set-up reads, so that a changed notebook does not install everything again.
COPY --chown=learner:learner pyproject.toml requirements.lock README.md LICENSE LICENSE-PROSE ./
COPY --chown=learner:learner scripts/setup_*.py scripts/
COPY --chown=learner:learner course_utils/__init__.py course_utils/
# TORCH: as in "make help"; empty, the CPU build. For another: docker build --build-arg TORCH=...
ARG TORCH=""
RUN PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 python scripts/setup_env.py
COPY --chown=learner:learner . .
# The learner's copies and the list of solved exercises lie in one folder, so that one volume keeps both.
RUN mkdir work
ENV COURSE_PROGRESS_FILE=/home/learner/words-to-bert/work/.progress.json
EXPOSE 8888
# Jupyter prints the address with its token: docker logs shows it.
CMD ["sh", "-c", ".venv/bin/python scripts/work.py; exec .venv/bin/python scripts/lab.py --ip 0.0.0.0 --port 8888"]
