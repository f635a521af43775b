# make run: everything from nothing to the page in the browser.  make test: everything from nothing to a verdict.
PYTHON ?= python3
PORT ?= 8501
HOST ?= 127.0.0.1
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test test-zoo check style types units mutants package browser docs screenshots gallery clean

run: $(VENV)/run.stamp
	$(BIN)/python -m pruning app --host $(HOST) --port $(PORT)

# what fails soonest comes first. The tests of workers and of the installed wheel start processes and wait for them: two
# at a time. A browser and what it asks for keep two cores busy. The zoo has its own packages and its own command
APART := tests/packaging tests/execution tests/browser tests/zoo

test: style $(VENV)/test.stamp
	$(MAKE) -j2 types units
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/packaging tests/execution
	$(MAKE) browser
	$(BIN)/python -m pytest tests/browser

# strangers' networks, from packages that nothing else needs: minutes. -rs lists the cuts that were refused, and why
test-zoo: $(VENV)/zoo.stamp
	$(BIN)/python -m pytest -n 2 --dist loadgroup --timeout 180 --tb short tests/zoo

check: style types

style: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	$(BIN)/pyright

units: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile $(addprefix --ignore ,$(APART))

# the lines of selection, recipe, runs and estimator changed in turn, which takes hours: docs/explanation/mutants.md
mutants: $(VENV)/test.stamp
	$(PIP) mutmut==3.8.1
	nice $(BIN)/python -m mutmut run --max-children 1 $(MUTANTS)
	$(BIN)/python -m mutmut results | grep -v 'not checked' || true

# a wheel in dist/, and what it does in an environment of its own
package: $(VENV)/test.stamp
	rm -rf dist
	$(BIN)/python -m tests.packaging.installed dist
	$(BIN)/python -m pytest tests/packaging

# every component of the pages in every state, for whoever changes how something looks
gallery: $(VENV)/run.stamp
	$(BIN)/python -m views.gallery --port $(PORT)

# the page of all choices, read from the code, and the site in site/
docs: $(VENV)/test.stamp
	$(BIN)/python -m pruning choices --markdown > docs/reference/choices.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# the pictures of the README, taken from the running page
screenshots: $(VENV)/test.stamp browser
	$(BIN)/python -m tests.browser.screenshots docs

browser: $(VENV)/test.stamp
	@$(BIN)/python -m tests.browser.chromium || $(BIN)/python -m playwright install chromium \
	  || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } \
	  || { sudo apt-get update -qq && sudo apt-get install -y -qq chromium; }

$(VENV)/run.stamp: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/test.stamp: requirements.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements-dev.txt
	touch $@ $(VENV)/run.stamp

# ultralytics asks for a build of OpenCV that needs the libraries of a display; the headless one does as well
$(VENV)/zoo.stamp: $(VENV)/test.stamp requirements-zoo.txt
	$(PIP) -r requirements-zoo.txt
	$(PIP) --no-deps ultralytics==8.4.190
	touch $@

clean:
	rm -rf $(VENV) dist site mutants .pytest_cache .ruff_cache .hypothesis
