PYTHON ?= python3
BIN := .venv/bin
OLDEST := .venv-oldest/bin
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

# compiled kernels answer all calls, so that results and timings are theirs
export FASTMOMENTS_COMPILE ?= wait

.DEFAULT_GOAL := help
.PHONY: help demo test test-full test-oldest gpu-check gpu-check-one gpu-registers activation accuracy closures \
	frameworks bench bench-peers first-call gpu-bench experiments wheel wheel-test release-check docs notebooks \
	lint clean

help:
	@echo "make demo       noisy house data through a trained network, beside what others do: a table and a figure"
	@echo "make test       lint, types and tests"
	@echo "make test-full  the same with the slow tests, in random order"
	@echo "make test-oldest the tests with the lowest versions that pyproject.toml admits, in .venv-oldest"
	@echo "make gpu-check  compile every GPU kernel for sm_80, sm_90 and sm_100, no card needed; fails if one spills registers"
	@echo "                or approximates."
	@echo "                Half a minute to three of processor time an activation and target; again, only what has changed"
	@echo "make activation NAME=relu draws an activation's truth, judges it on the cpu and says what is missing"
	@echo "make accuracy   every function against the 50-digit tables: tests/accuracy.json, docs/accuracy.md and its figure;"
	@echo "                names=relu chooses activations"
	@echo "make closures   the closure's error of every network at an input sd of 1: tests/data/closures.json;"
	@echo "                names='\"se resnet\" vit' chooses networks"
	@echo "make frameworks what works in which framework: runs the tests of every cell of docs/frameworks.md and writes it"
	@echo "make bench      timings beside the matrix products, SciPy and the published quadrature"
	@echo "make bench-peers error and time beside SciPy, the published quadrature and approximations: docs/peers.md"
	@echo "make first-call what first calls take, each in a process and a cache of its own; names=\"relu readme\" chooses"
	@echo "make gpu-bench  timings on a CUDA card beside a copy, torch.compile, the published quadrature and a product"
	@echo "make experiments what is missing of docs/experiments: the papers' experiments and the limits;"
	@echo "                names=\"stress limits --again\" chooses, --fast does little of everything"
	@echo "make wheel      a wheel for this platform in dist: object code for every level of its processors, no Numba needed;"
	@echo "                an hour of processor time, again only what has changed; names=relu chooses activations, to try"
	@echo "make wheel-test installs it into a clean environment and tests relu, gelu and npn at every level that this machine"
	@echo "                runs; fails if it cannot run one; names=relu chooses activations"
	@echo "make release-check builds what is published, and runs it and the pages' code in clean environments;"
	@echo "                pythons=\"python3.12 python3.13\" adds interpreters"
	@echo "make docs       the documentation site: docs/_build/index.html"
	@echo "make notebooks  runs docs/notebooks and writes what they print and draw into them; names=uncertain_inputs chooses"
	@echo "make lint       ruff, mypy, import contracts"
	@echo "make clean      remove .venv and what the tools left behind"
	@echo "PYTHON=python3.12 make ... chooses the interpreter that .venv is made from"

# The stamps record which extras are installed; a change of pyproject.toml or constraints.txt makes them stale.
.venv/.created:
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed-%: pyproject.toml constraints.txt | .venv/.created
	@echo "Installing fastmoments[$*] into .venv (first use, or the requirements changed)"
	$(PIP_INSTALL) -e ".[$*]"
	@touch $@

demo: .venv/.installed-figures
	$(BIN)/python examples/california_housing.py

test: lint gpu-check-one
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-full: lint gpu-check
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "slow or not slow" -p randomly

# uv leaves what is installed and satisfies; UV_TORCH_BACKEND=cpu has it take PyTorch's CPU build.
.venv-oldest/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	$(OLDEST)/python -m pip install --disable-pip-version-check uv
	$(OLDEST)/uv pip install --python .venv-oldest --resolution lowest-direct -e ".[test]"
	@touch $@

# Old releases call what newer ones of their own requirements deprecate.
test-oldest: .venv-oldest/.installed
	OPENBLAS_NUM_THREADS=1 $(OLDEST)/python -m pytest -n 2 -W ignore::DeprecationWarning

lint: .venv/.installed-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

# A representative of the GPU kernels.
gpu-check-one: .venv/.installed-test
	$(BIN)/python tools/gpu_check.py --targets 90 --sizes any,16 relu --kernels neurons,pairs,derivatives,collect,cov,product
	$(BIN)/python tools/gpu_check.py --targets 90 --sizes any npn --kernels "linear tf32x3"

gpu-check: .venv/.installed-test
	$(BIN)/python tools/gpu_check.py

# What docs/performance.md shows of the compiled kernels.
gpu-registers: .venv/.installed-test
	$(BIN)/python tools/gpu_check.py npn relu heaviside gelu none --targets 90 --sizes any --kernels \
		linear,neurons,pairs,derivatives,cov_beyond,beyond,overfull,add_beyond,collect,skip,mirror \
		--output benchmarks/results/gpu-registers.json
	$(BIN)/python tools/gpu_check.py relu --output benchmarks/results/gpu-counts.json --kernels \
		neurons,pairs,derivatives,cov_beyond,beyond,overfull,add_beyond,collect
	TRITON_INTERPRET=1 $(BIN)/python -m benchmarks.gpu_terms
	$(BIN)/python -m benchmarks.gpu_pass
	$(BIN)/python -m benchmarks.page

activation: .venv/.installed-test
	$(BIN)/python -m tests.new_activation $(NAME)

accuracy: .venv/.installed-test
	$(BIN)/python -m tests.record_accuracy $(names)
	$(BIN)/python tools/accuracy_page.py

closures: .venv/.installed-test
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.record_closures $(names)

frameworks: .venv/.installed-test
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "feature and not slow" --frameworks-page

# Processor time: with one thread it is the wall clock's, less what other processes on the machine take.
bench: .venv/.installed-bench
	@mkdir -p .benchmarks
	$(BIN)/python -m pytest benchmarks --benchmark-timer=time.process_time --benchmark-sort=name \
		--benchmark-columns=min,median,rounds --benchmark-json=.benchmarks/last.json
	$(BIN)/python -m benchmarks.targets
	$(BIN)/python -m benchmarks.report .benchmarks/last.json

bench-peers: .venv/.installed-bench
	$(BIN)/python -m benchmarks.peers

first-call: .venv/.installed-bench
	$(BIN)/python -m benchmarks.first_call $(names)

# It installs nothing: machines with a card may have no network. Without .venv it takes PYTHON, whose packages serve.
gpu-bench:
	PYTHONPATH=.:kernels $(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks.gpu

experiments: .venv/.installed-test
	$(BIN)/python -m experiments $(names)

wheel: .venv/.installed-wheel
	$(BIN)/python tools/wheel.py $(names)

wheel-test: .venv/.installed-wheel
	$(BIN)/python tools/wheel_test.py $(names)

release-check: .venv/.installed-release
	$(BIN)/python tools/release_check.py $(pythons)

docs: .venv/.installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q docs docs/_build
	@echo "docs/_build/index.html"

notebooks: .venv/.installed-test
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tools/notebooks.py $(names)

clean:
	rm -rf .venv .venv-oldest docs/_build docs/api/activations docs/jupyter_execute .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
