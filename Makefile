# make build    a virtual environment in .venv with addax installed in it, editable, with its test tools
#               (EXTRAS=test,plugins: with the compilers for GPUs and TPUs, whose tests are skipped otherwise)
# make native   recompile the C++ extension in place, into the environment that is active (a second or two per file)
# make test     the test suite, less what is marked slow       make slow   the rest: long sweeps
# make lint     ruff and pyright
# make demo     train a digit classifier                        make bench  the benchmarks
PYTHON ?= python3
EXTRAS ?= test
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: build native test slow lint demo bench clean

$(STAMP): pyproject.toml CMakeLists.txt $(wildcard native/*.cpp native/*.h native/kernels/*.cpp native/kernels/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@# A plain path instead of the installed import hook: quicker to start, and it follows files that move.
	site=$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))") \
	  && rm -f $$site/_editable_skbc_addax.* && echo $(CURDIR)/src > $$site/addax.pth
	touch $@

build: $(STAMP)

# Into the place an editable install uses, src/addax/_native.*.so, but only once the new module loads.
native:
	cmake -S . -B build/native -G Ninja -DPython_EXECUTABLE=$$(command -v python) >/dev/null
	cmake --build build/native
	python -c "import sys; sys.path.insert(0, 'build/native'); import _native"
	cp build/native/_native.*.so src/addax/.native.new
	mv src/addax/.native.new src/addax/$$(cd build/native && ls _native.*.so)

test: build
	$(BIN)/python -m pytest -n 2 -q -m "not slow"

slow: build
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m slow

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

demo: build
	$(BIN)/python examples/digits.py

bench: build
	$(BIN)/python -m pip install --quiet $$($(BIN)/python -c "import tomllib; \
	  print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['bench'])")
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf build $(VENV) src/addax/_native.*.so
