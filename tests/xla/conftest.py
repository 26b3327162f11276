"""The XLA engine is an optional part: without jaxlib its tests are skipped."""

import importlib.util
import pathlib
import sys

collect_ignore_glob = [] if importlib.util.find_spec("jaxlib") else ["test_*.py"]

# The sample tables of the primitives are shared with the tests of ops.
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "ops"))
