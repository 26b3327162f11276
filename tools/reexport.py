"""Write the ``__init__`` of a public package: each module's ``__all__``, re-exported by name.

``python tools/reexport.py lax`` prints src/addax/lax/__init__.py from the ``__all__`` lists of its modules.
"""

from __future__ import annotations

import ast
import pathlib
import sys


def exported(path: pathlib.Path) -> list[str]:
    """The names in a module's ``__all__``, or its public functions and classes if it has none."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return sorted(ast.literal_eval(node.value))
    return sorted(n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != "_")


def main(package: str) -> None:
    root = pathlib.Path(__file__).resolve().parent.parent / "src" / "addax" / package
    init = root / "__init__.py"
    doc = ast.get_docstring(ast.parse(init.read_text())) if init.exists() else None
    lines = [f'"""{doc or f"The public functions of addax.{package}."}"""', ""]
    for path in sorted(root.glob("*.py")):
        if path.stem.startswith("_") or path.stem in ("arguments", "apply", "base"):
            continue
        names = exported(path)
        module = f"addax.{package}.{path.stem}"
        lines += [f"from {module} import (", *(f"    {n} as {n}," for n in names), ")"]
    print("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1])
