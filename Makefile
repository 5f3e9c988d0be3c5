# PYTHON chooses the interpreter (3.10 or newer); each gets an environment of its own. PYTEST replaces the options.
PYTHON ?= python3
VENV := .venv$(if $(filter-out python3,$(notdir $(PYTHON))),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The functions' runtime: 3.10 or 3.12. template.yml takes it from the same variable.
RELAY_PYTHON ?= 3.10
PYTEST ?= -n auto --dist loadfile --no-loadscope-reorder

.PHONY: help demo serve check test lint format coverage soak openapi bench build preflight plan deploy doctor invoke backfill lock clean

help:  ## List the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/local.stamp  ## Play recorded jobs through both functions on this machine
	$(BIN)/smarttag demo

serve: $(VENV)/local.stamp  ## Keep the local cloud running
	$(BIN)/smarttag serve

check: lint test  ## What CI runs: lint and test

test: $(VENV)/test.stamp  ## Run the whole test suite
	$(BIN)/pytest $(PYTEST)

lint: $(VENV)/test.stamp  ## Check style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive functions shared

format: $(VENV)/test.stamp  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: $(VENV)/test.stamp  ## Run the tests and print what they cover, lines and branches
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

soak: $(VENV)/test.stamp  ## Run the tests with the big numbers: hours
	SOAK=1 HYPOTHESIS_PROFILE=soak $(BIN)/pytest $(PYTEST)

openapi: $(VENV)/test.stamp  ## Write shared/http/openapi.json anew from its source and the code
	$(BIN)/python -m local.packaging.openapi

bench: $(VENV)/test.stamp build  ## Measure the package against its budgets and what else one would use
	$(BIN)/python -m local.bench

build: $(VENV)/local.stamp  ## Make the deployable package in build/
	$(BIN)/python -m local.packaging --python $(RELAY_PYTHON)

preflight: $(VENV)/local.stamp  ## Look at the settings before they are deployed
	$(BIN)/smarttag doctor --offline

plan:  ## Show what make deploy would deploy
	s preview -t template.yml

deploy:  ## Look at the settings, build, and deploy both functions with the Serverless Devs CLI
	s deploy -y -t template.yml

doctor: $(VENV)/local.stamp  ## Look for what is wrong, and say what to do
	$(BIN)/smarttag doctor

invoke: $(VENV)/local.stamp  ## Send the deployed function a sample message: make invoke, make invoke JOB=ID
	$(BIN)/smarttag invoke $(JOB)

backfill: $(VENV)/local.stamp  ## Publish past jobs: make backfill JOBS=ids.txt, one job ID a line
	$(BIN)/smarttag backfill $(JOBS)

lock: $(VENV)/venv.stamp  ## Write requirements.txt anew: pyproject.toml's dependencies, complete, pinned and hashed
	$(PIP) uv==0.13.9
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' --output-file requirements.txt pyproject.toml

clean:  ## Remove what make made
	rm -rf build demo-output .venv*

$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "Python 3.10 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/local.stamp: $(VENV)/venv.stamp requirements.txt pyproject.toml shared/__init__.py
	$(PIP) --require-hashes --requirement requirements.txt
	$(PIP) --editable '.[local]'
	@touch $@

$(VENV)/test.stamp: $(VENV)/local.stamp
	$(PIP) --editable '.[local,test]'
	@touch $@
