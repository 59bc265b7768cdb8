PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

METHOD ?= matched

.PHONY: help demo test coverage nightly fuzz pictures lint types docs bench bench-accuracy bench-ablation bench-real-data bench-scale bench-integration clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt --upgrade pip
	$(PIP) install -c constraints.txt -e . --group test --group lint
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) install -c constraints.txt --group docs
	@touch $@

demo: $(VENV)/.installed  ## the published analysis on its toy and on real cell lines, with every figure
	$(BIN)/unbatch demo --output unbatch-demo

test: $(VENV)/.installed  ## the whole test suite
	$(BIN)/pytest -n 2

# the second run leaves the compiled leaves as Python, whose lines and branches are not seen otherwise
LEAF_TESTS := tests/core/kernels tests/simulation/test_kernels.py tests/core/diagnostics/test_matches.py \
	$(addprefix tests/core/test_,$(addsuffix .py,denoising exact_margins linking log_counts matching shifts sparse_sums state_table))

coverage: $(VENV)/.installed  ## which lines and branches of src the tests run; fails below 95 %
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2
	PYTHONPATH=tests $(BIN)/coverage run -m pytest -p interpreted -n 2 $(LEAF_TESTS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

nightly: $(VENV)/.installed  ## the promise of the same answer on EXAMPLES random examples each (10,000, which take hours on 2 cores)
	HYPOTHESIS=nightly $(BIN)/pytest -n 2 tests/hostile/test_same_answer.py tests/hostile/test_numbers.py

fuzz: $(VENV)/.installed  ## read files spoilt at random for FUZZ_SECONDS (300)
	$(BIN)/python tests/hostile/fuzz.py

pictures: $(VENV)/.installed  ## draw the pictures anew that the figures are compared with; look at each of them
	$(BIN)/python tests/pl/gallery.py

lint: $(VENV)/.installed  ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(VENV)/.docs  ## the documentation as pages, in docs/_build
	$(BIN)/sphinx-build -q -W --keep-going -j auto docs docs/_build

bench: bench-accuracy $(if $(DATA),bench-real-data)  ## all benchmarks; DATA=FOLDER of .h5ad files adds real counts

bench-accuracy: $(VENV)/.installed  ## error of the estimates on counts with known effects
	$(BIN)/python benchmarks/accuracy.py $(if $(DATA),--data "$(DATA)")

bench-ablation: $(VENV)/.installed  ## the same with one part of the default method taken out at a time
	$(BIN)/python benchmarks/ablation.py

bench-scale: $(VENV)/.installed  ## time and memory up to a million cells; PEERS=PYTHON with scanpy and harmonypy
	$(BIN)/python benchmarks/scale.py $(if $(PEERS),--peers-python "$(PEERS)")

bench-real-data: $(VENV)/.installed  ## mixing of the batches of the .h5ad files in DATA
	$(BIN)/python benchmarks/real_data.py --data "$(DATA)" --method $(METHOD)

.venv-%/.installed: benchmarks/integration/%-requirements.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip --disable-pip-version-check -q install -r $<
	@touch $@

# SCVI=yes makes an environment for scVI and runs it too, which takes hours; CACHE=FOLDER keeps what was computed
bench-integration: $(VENV)/.installed .venv-peers/.installed $(if $(SCVI),.venv-scvi/.installed)  ## embeddings beside the peers', and probes of over-correction; DATA=FOLDER, SCVI=yes, CACHE=FOLDER
	$(BIN)/python benchmarks/integration.py --probes --peers-python .venv-peers/bin/python $(if $(SCVI),--scvi-python .venv-scvi/bin/python) $(if $(DATA),--data "$(DATA)") $(if $(CACHE),--cache "$(CACHE)")

clean:  ## remove what make made
	rm -rf $(VENV) .venv-peers .venv-scvi unbatch-demo build dist docs/_build docs/jupyter_execute
