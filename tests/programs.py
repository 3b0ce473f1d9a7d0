"""Programs of the repository that are no modules of a package, as modules."""

import importlib.util
import sys
from types import ModuleType

import tiny


def program(path: str) -> ModuleType:
    """`benchmarks/import_graph.py`, say, loaded under a name of its own."""
    name = "program_" + path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, tiny.ROOT / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
