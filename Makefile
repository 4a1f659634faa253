# One list of dependencies (pyproject.toml), pinned in requirements.lock, installed into .venv.
# Needs Python 3.11, 3.12 or 3.13 and a package index. Another Python: make lessons PYTHON=/path/to/python

PYTHON ?=
CHROMIUM ?= /usr/bin/chromium
CANDIDATES = $(or $(PYTHON),python3.11 python3.12 python3.13 python3)
SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
NEEDED = vaekit needs Python 3.11, 3.12 or 3.13, and none of these is one: $(CANDIDATES). \
	Install one, or say where it is: make PYTHON=/path/to/python
ACTIVATE = . .venv/bin/activate

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

lessons: .venv/installed  ## install everything, copy the course into vaekit-course/, open JupyterLab on the first lesson
	$(ACTIVATE) && vaekit start

test: SELECTED = -m "not thorough"
test: test-all  ## install everything, test the library on both backends, then the lessons: a quarter of an hour

test-all: .venv/installed  ## the same with the tests that take long: half an hour
	@report=; for part in tensorflow jax lessons; do \
	    if $(MAKE) --no-print-directory test-$$part SELECTED='$(SELECTED)'; then result=passed; else result=FAILED; fi; \
	    report="$$report$$result  test-$$part\n"; \
	done; printf "\n$$report"; ! printf "$$report" | grep -q FAILED

# Three workers on two cores: tests of grading wait for a third of their time.
test-tensorflow test-jax: test-%: .venv/installed
	$(ACTIVATE) && KERAS_BACKEND=$* pytest -p no:nbval -n 3 --dist worksteal $(SELECTED) tests

test-lessons: .venv/installed
	$(ACTIVATE) && KERAS_BACKEND=tensorflow VAEKIT_FAST=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	    pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=300 lessons/*.ipynb

check: .venv/installed  ## style, lessons and exercises that differ from their sources, tables that differ from their records
	$(ACTIVATE) && ruff check && ruff format --check && vaekit notebooks --check && vaekit course build --check && python benchmarks/table.py --check && vaekit results --check

notebooks: .venv/installed  ## generate and execute all lessons, or make notebooks LESSON=lessons/source/NN_name.py
	$(ACTIVATE) && vaekit notebooks $(LESSON)

exercises: .venv/installed  ## generate solutions/ and exercises/ from solutions/source
	$(ACTIVATE) && vaekit course build

benchmark: .venv/rivals  ## time vaekit beside PyTorch and pythae (a quiet machine, 50 minutes); writes benchmarks/README.md
	$(ACTIVATE) && for name in training_step convolutional_step log_likelihood mixture_density pixelcnn_sampling text_training text_sampling video_training video_sampling first_result import_time growth; do \
	    python benchmarks/$$name.py || exit 1; done && python benchmarks/mixture_accuracy.py && python benchmarks/table.py

site: .venv/site  ## build the website from what is committed into build/site (its first run needs a network)
	$(ACTIVATE) && KERAS_BACKEND=jax python site/stage.py build/site-source && rm -rf build/site && \
	    sphinx-build -q -W --keep-going -j auto -c site -d build/doctrees build/site-source build/site && echo "build/site/index.html"

look: site  ## click through build/site in headless Chromium, by CHROMIUM=/path/to/chromium; writes pictures to build/look
	@npm install --loglevel=error --no-audit --no-fund --prefix .venv/npm axe-core@4.14.1 playwright-core@1.65.1
	node site/look.mjs build/site "$(CHROMIUM)" build/look

lock: .venv/installed  ## pin pyproject.toml's dependencies in requirements.lock
	$(ACTIVATE) && uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	    --extra jax --extra course --extra dev --output-file requirements.lock pyproject.toml

clean:  ## remove what was installed or built here
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis

# The stamp is written last and removed first: without it, .venv is incomplete and is made anew.
.venv/installed: requirements.lock pyproject.toml
	@test -f $@ || { \
	    for python in $(CANDIDATES) ""; do $$python -c '$(SUPPORTED)' 2> /dev/null && break; done; \
	    test -n "$$python" || { echo "$(NEEDED)" >&2; exit 1; }; \
	    $$python -m venv --clear .venv; }
	@rm -f $@
	@echo "Installing into .venv: some minutes, once."
	@.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.lock
	@.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/rivals: .venv/installed
	@$(ACTIVATE) && pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[jax,benchmark]' && touch $@

.venv/site: .venv/installed
	@command -v npm > /dev/null || { echo "The website's formulas are set by MathJax, which comes from npm: install Node.js, \
	which has it, and run make site again." >&2; exit 1; }
	@$(ACTIVATE) && pip install --quiet --disable-pip-version-check --constraint requirements.lock --no-build-isolation -e '.[jax,site]'
	@npm install --loglevel=error --no-audit --no-fund --prefix .venv/npm mathjax@3.2.2 && touch $@

.PHONY: help lessons test test-all test-tensorflow test-jax test-lessons check notebooks exercises benchmark site look lock clean
