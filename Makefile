# Everything is set up on demand: `make bench` and `make test` work on a fresh machine
# with Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
VELODROME := packages/velodrome
BACKEND := packages/keras-mxnet-backend

.PHONY: bench bench-gpu test test-velodrome test-backend test-keras conformance docs check format clean

# First whether all engines train the same model, then how fast: an engine that deviates is
# raced all the same, and flagged.
bench: $(VENV)/installed
	-$(BIN)/velodrome parity lenet --dataset digits --recipe learning_rate=0.015,momentum=0.9
	$(BIN)/velodrome run quickstart

# LeNet and ResNet50 on a GPU, in float32 and bfloat16, batch 64 to 4096.
bench-gpu: $(VENV)/installed
	-$(BIN)/velodrome parity lenet,resnet50 --engine torch,jax,keras-torch,keras-jax --devices gpu \
		--dtype float32,bfloat16
	$(BIN)/velodrome run gpu

test: test-velodrome test-backend

# In two processes, file by file: what the tests of a file share is made once.
test-velodrome: $(VENV)/developing
	$(BIN)/python -m pytest -rs -n 2 --dist loadfile --no-loadscope-reorder $(VELODROME)/tests

# Our own tests, and a sample of Keras's; processes with one thread each do not wait for cores.
test-backend: .venv-mxnet/developing
	OMP_NUM_THREADS=1 .venv-mxnet/bin/python -m pytest -n 2 $(BACKEND)/tests
	.venv-mxnet/bin/python $(BACKEND)/conformance/run.py --quick

# The backend's tests with another release of Keras: make test-keras KERAS=3.12.4
KERAS ?= 3.11.3
test-keras: .venv-mxnet-keras-$(KERAS)/developing
	.venv-mxnet-keras-$(KERAS)/bin/python -m pytest $(BACKEND)/tests

# Keras's own tests against the backend, all of them; PART=ops/nn_test.py runs a part.
conformance: .venv-mxnet/conforming
	.venv-mxnet/bin/python $(BACKEND)/conformance/run.py $(PART)

# The documentation as a site, in site/.
docs: $(VENV)/developing
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check: $(VENV)/developing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(VELODROME)/src
	$(BIN)/lint-imports

format: $(VENV)/developing
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .venv-mxnet .venv-mxnet-keras-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The backend is a plug-in of MXNet's environment, which takes it from here; nothing in
# this environment imports it, so what it needs is not installed.
$(VENV)/installed: $(VELODROME)/pyproject.toml $(BACKEND)/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e $(VELODROME)
	$(BIN)/python -m pip install --quiet --no-deps -e $(BACKEND)
	touch $@

$(VENV)/developing: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -e "$(VELODROME)[dev]"
	touch $@

.venv-mxnet/developing: $(VELODROME)/src/velodrome/environments/cpu/mxnet.txt $(BACKEND)/pyproject.toml
	$(PYTHON) -m venv .venv-mxnet
	.venv-mxnet/bin/python -m pip install --quiet -r $<
	.venv-mxnet/bin/python -m pip install --quiet -e "$(BACKEND)[dev]"
	touch $@

.venv-mxnet-keras-%/developing: $(VELODROME)/src/velodrome/environments/cpu/mxnet.txt $(BACKEND)/pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r $<
	$(@D)/bin/python -m pip install --quiet -e "$(BACKEND)[dev]" keras==$*
	touch $@

.venv-mxnet/conforming: .venv-mxnet/developing
	.venv-mxnet/bin/python -m pip install --quiet -e "$(BACKEND)[conformance]"
	touch $@
