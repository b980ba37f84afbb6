# Two commands matter on a fresh machine: `make demo` and `make test`; both are safe to repeat.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: venv inputs demo test check tests sweep faults series skew chaos figures bench image-steps wheel clean

venv: .venv/ready

# torch goes first and alone: a range in another package would bring the newest build with its accelerator libraries.
.venv/ready: pyproject.toml constraints.txt .ci/system
	.ci/system venv
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --upgrade pip  # Debian's knows no dependency groups
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --group dev --editable .
	touch $@

# Real checkpoints to test with: inputs, never dependencies.
inputs: .cache/inputs/ready

.cache/inputs/ready: tests/inputs.py .venv/ready
	$(BIN)/python -m tests.inputs .cache/inputs
	touch $@

demo: venv inputs
	@for checkpoint in all-MiniLM-L6-v2 SmolLM2-135M-Instruct/SmolLM2-135M-Instruct.Q4_1.gguf; do
		echo "== auditing $$checkpoint"
		$(BIN)/attnaudit run ".cache/inputs/$$checkpoint" --depth quick -o demo || test $$? = 1
	done
	echo "== the reports:"
	ls demo/*/report.html demo/*/report.pdf

test: venv inputs
	.ci/system test
	$(MAKE) --no-print-directory check tests

check:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

tests:
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

# Every causal, masked and seq2seq model type that transformers knows, observed against an independent count.
sweep: venv
	$(BIN)/python -m tests.sweep

# The auditor audited: faults planted in three models, how many of them it finds, and what it says of untouched ones.
faults: venv inputs
	$(BIN)/python -m tests.faults

# Tiny GPTs trained at a sane and a far too high learning rate: does the audit of their checkpoints warn early enough?
series: venv
	$(BIN)/python -m tests.series

# Whether findings of skew can be trusted: how often the tests cry wolf, and whether what was planted is found.
skew: venv inputs
	$(BIN)/python -m tests.skew

# Audits through the queue while children, workers, scheduler and server are killed at random.
chaos: venv inputs
	$(BIN)/python -m tests.chaos

# The theory of random transformers against simulation, and the published figures with our numbers.
figures: venv
	$(BIN)/python -m tests.figures --out tests/pictures/theory.png

bench: venv inputs
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.service_bench
	$(BIN)/python -m tests.looking_bench
	$(BIN)/python -m tests.streamed_bench

# The Dockerfile's own steps in bare Debian folders, and an audit there; as root, where no container engine is at hand.
image-steps: venv inputs
	.ci/system image
	$(BIN)/python -m tests.image_steps

wheel: venv
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean:
	rm -rf .venv .cache build dist demo .mypy_cache .ruff_cache .pytest_cache
