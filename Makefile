# `make demo`, `make test` and `make docs` do their own set-up on a fresh machine; nothing else needs to be installed first
# but Python 3.11 or later with venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= runs/lesions
DEMO_INPUTS = --mammograms $(DEMO)/mammograms --masses $(DEMO)/masses --split all
RUN ?= runs/demo
MASS_RUN ?= runs/masses

.PHONY: demo demo-train demo-masses test lint types docs proofs clean

$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@

# 200 labelled mammograms with lesions, from the generators that come with the package: COCO, PNG and DICOM, a figure and a
# page to look at.
demo: $(VENV)/installed
	$(BIN)/synthmammo generate-mammograms --study-of-four --count 200 --output $(DEMO)/mammograms
	$(BIN)/synthmammo generate-masses --count 400 --output $(DEMO)/masses
	$(BIN)/synthmammo insert-lesions $(DEMO_INPUTS) --format coco --output $(DEMO)/coco --figure $(DEMO)/figure.png
	$(BIN)/synthmammo insert-lesions $(DEMO_INPUTS) --format png --output $(DEMO)/png
	$(BIN)/synthmammo insert-lesions $(DEMO_INPUTS) --format dicom --output $(DEMO)/dicom
	@echo "look at $(DEMO)/coco/index.html"

# All seven phases on phantoms, then mammograms from masks that the generator has not seen, and a figure.
demo-train: $(VENV)/installed
	$(BIN)/synthmammo make-phantoms --kind mammogram --count 2000 --output data/phantoms
	$(BIN)/synthmammo train-mask-embed --phase 7 --preset quick --data data/phantoms --run $(RUN)
	$(BIN)/synthmammo generate-mammograms --generator $(RUN)/phase-7/generator.keras \
		--masks data/phantoms --count 200 --output $(RUN)/synthetic --figure $(RUN)/figure.png

# Feature2Mass on mass phantoms, then new masses of every shape and margin, and the three figures.
demo-masses: $(VENV)/installed
	$(BIN)/synthmammo make-phantoms --kind mass --count 2000 --output data/mass-phantoms
	$(BIN)/synthmammo train-feature2mass --preset quick --data data/mass-phantoms --run $(MASS_RUN)
	$(BIN)/synthmammo generate-masses --run $(MASS_RUN) --count 1000 --output $(MASS_RUN)/synthetic \
		--figure $(MASS_RUN)/figure.png

test: lint types
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

# The site, in build/site; a warning is an error.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Installs the wheel into an empty environment and runs it from an empty folder; runs the documented commands.
proofs: $(VENV)/installed
	$(BIN)/python -m pytest -m slow tests/project

clean:
	rm -rf $(VENV) build data runs
