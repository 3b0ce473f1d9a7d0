# `make demo` and `make test` do their own set-up on a fresh machine; nothing else needs to be installed first
# but Python 3.11 or later with venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN ?= runs/demo
MASS_RUN ?= runs/masses

.PHONY: demo demo-masses test lint clean

$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

# All seven phases on phantoms, then mammograms from masks that the generator has not seen, and a figure.
demo: $(VENV)/installed
	$(BIN)/python train_scripts/make_phantoms.py --kind mammogram --count 2000 --output data/phantoms
	$(BIN)/python train_scripts/train_mask_embed.py --phase 7 --preset quick --data data/phantoms --run $(RUN)
	$(BIN)/python train_scripts/generate_mammograms.py --generator $(RUN)/phase-7/generator.keras \
		--masks data/phantoms --count 200 --output $(RUN)/synthetic --figure $(RUN)/figure.png

# Feature2Mass on mass phantoms, then new masses of every shape and margin, and the three figures.
demo-masses: $(VENV)/installed
	$(BIN)/python train_scripts/make_phantoms.py --kind mass --count 2000 --output data/mass-phantoms
	$(BIN)/python train_scripts/train_feature2mass.py --preset quick --data data/mass-phantoms --run $(MASS_RUN)
	$(BIN)/python train_scripts/generate_masses.py --run $(MASS_RUN) --count 1000 --output $(MASS_RUN)/synthetic \
		--figure $(MASS_RUN)/figure.png

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) data runs
