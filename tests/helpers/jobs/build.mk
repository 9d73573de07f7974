# A real build, run as a background job by a test: the wheel of this project, installed elsewhere and tried.
#
#   make -f build.mk ROOT=<source tree> OUT=<empty directory> PYTHON=<python with pip and setuptools>
#
# Between building and installing it waits until somebody opens the named pipe $(OUT)/gate, so that a test knows for
# sure that it acts in the middle.

PACKAGES := bgjobd bgjob_cli bgjob_mcp
PIP := $(PYTHON) -m pip --isolated --disable-pip-version-check

$(OUT)/tried: $(OUT)/installed
	cd $(OUT) && PYTHONPATH=$(OUT)/site $(PYTHON) -S -c 'import bgjobd; print("loaded", bgjobd.__file__)'
	cd $(OUT) && PYTHONPATH=$(OUT)/site $(PYTHON) -S -m bgjobd --version
	touch $@

$(OUT)/installed: $(OUT)/wheel
	@echo "waiting at the gate"
	read go < $(OUT)/gate
	$(PIP) install --no-index --no-deps --target $(OUT)/site $(OUT)/wheel/*.whl
	touch $@

$(OUT)/wheel: $(OUT)/source
	$(PIP) wheel --no-index --no-deps --no-build-isolation --wheel-dir $@ $<

$(OUT)/source:
	mkdir -p $@
	cd $(ROOT) && cp -R pyproject.toml README.md LICENSE $(PACKAGES) $@
	find $@ -name __pycache__ -prune -exec rm -r {} +
