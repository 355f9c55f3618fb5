"""The docstrings of the standard library of the Python that runs this.

    collect()
    ->  [Docstring(name="os.path.join", module="os", signature="join(a, *p)", text="Join two or more ..."), ...]

Python sources are parsed, not imported, so nothing of them is run. Modules written in C have no source: a fixed list of
them, none with side effects, is imported and looked at.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

SKIPPED = frozenset(
    {
        "antigravity",
        "distutils",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "test",
        "this",
        "tkinter",
        "turtle",
        "turtledemo",
        "venv",
    }
)
"""No documentation of a library: jokes, demonstrations, installers, tests, data, or a package on its way out."""
C_MODULES = (
    "array",
    "atexit",
    "binascii",
    "builtins",
    "bz2",
    "cmath",
    "codecs",
    "collections",
    "contextvars",
    "csv",
    "datetime",
    "decimal",
    "errno",
    "faulthandler",
    "fcntl",
    "functools",
    "gc",
    "grp",
    "hashlib",
    "io",
    "itertools",
    "lzma",
    "marshal",
    "math",
    "mmap",
    "operator",
    "os",
    "pickle",
    "pwd",
    "queue",
    "random",
    "re",
    "resource",
    "select",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "struct",
    "sys",
    "time",
    "unicodedata",
    "weakref",
    "zlib",
)
"""Modules whose functions and classes are written in C, at least in part."""
_ALIASES = {"posixpath": "os.path"}
_HOOKS = frozenset({"breakpointhook", "displayhook", "excepthook", "unraisablehook"})
"""Functions of `sys` that programs replace by their own: what stands there is not the library's."""
_SHORTEST_WORDS = 3


@dataclass(frozen=True, slots=True)
class Docstring:
    """The documentation of one module, class, function or method."""

    name: str
    """Qualified, as one would import it: `os.path.join`, `argparse.ArgumentParser.parse_args`."""
    module: str
    """Top-level module: what is never divided between training and testing."""
    kind: str
    """`module`, `class`, `function`, `method` or `attribute`."""
    signature: str
    """`join(a, *p)`; empty for modules and attributes."""
    text: str
    """Without indentation and blank ends."""

    def document(self) -> str:
        """Signature and text, as `help()` shows them."""
        return f"{self.signature}\n\n{self.text}" if self.signature else self.text


def collect() -> list[Docstring]:
    """Every public docstring of three words or more, sorted by name."""
    found: dict[str, Docstring] = {}
    for docstring in (*_from_sources(), *_from_c_modules()):
        if len(docstring.text.split()) >= _SHORTEST_WORDS:
            found.setdefault(docstring.name, docstring)
    return [found[name] for name in sorted(found)]


def module_names() -> list[str]:
    """The public top-level modules that `collect` looks at."""
    return sorted(name for name in sys.stdlib_module_names if not name.startswith("_") and name not in SKIPPED)


def _from_sources() -> Iterator[Docstring]:
    """Docstrings of the Python sources, named as a package offers them: `asyncio.run`, not `asyncio.runners.run`."""
    found: list[Docstring] = []
    exported: dict[str, tuple[str, ...]] = {}
    imported: list[tuple[str, str, str]] = []
    for file, module in _sources():
        tree = ast.parse(file.read_bytes())
        found += _from_tree(tree, module)
        exported[module] = _all_of(tree)
        if file.name == "__init__.py":
            imported += _own_imports(tree, module)
    shorter: dict[str, str] = {}
    for package, source, name in imported:
        for one in exported.get(source, ()) if name == "*" else (name,):
            shorter.setdefault(f"{source}.{one}", f"{package}.{one}")
    for docstring in found:
        yield replace(docstring, name=_shortened(docstring.name, shorter))


def _sources() -> Iterator[tuple[Path, str]]:
    """Source files of public modules with the module's name."""
    library = Path(sysconfig.get_path("stdlib"))
    for module in module_names():
        package = library / module
        files = sorted(package.rglob("*.py")) if package.is_dir() else [package.with_suffix(".py")]
        for file in files:
            parts = file.relative_to(library).with_suffix("").parts
            if file.is_file() and _is_public(parts):
                name = ".".join(part for part in parts if part != "__init__")
                yield file, _ALIASES.get(name, name)


def _is_public(parts: tuple[str, ...]) -> bool:
    return not any(part in ("test", "tests") or (part.startswith("_") and part != "__init__") for part in parts)


def _all_of(tree: ast.Module) -> tuple[str, ...]:
    """Names in a literal `__all__`."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign)
            elements = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else []
            return tuple(str(element.value) for element in elements if isinstance(element, ast.Constant))
    return ()


def _own_imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str, str]]:
    """What a package takes from its modules, as (package, module, name); the name may be `*`."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            source = f"{package}.{node.module}" if node.level == 1 else node.module
            if node.level < 2 and source.startswith(f"{package}."):
                yield from ((package, source, alias.name) for alias in node.names if alias.asname is None)


def _shortened(name: str, shorter: dict[str, str]) -> str:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if found := shorter.get(".".join(parts[:end])):
            return ".".join([_shortened(found, shorter), *parts[end:]])
    return name


def _from_tree(tree: ast.Module, module: str) -> Iterator[Docstring]:
    if text := ast.get_docstring(tree):
        yield Docstring(module, module.partition(".")[0], "module", "", text)
    yield from _from_body(tree.body, module, inside_class=False)


def _from_body(body: list[ast.stmt], prefix: str, *, inside_class: bool) -> Iterator[Docstring]:
    """Public functions and classes of a module or class, also below `if` and `try`."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _from_body([*node.body, *node.orelse], prefix, inside_class=inside_class)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        name = f"{prefix}.{node.name}"
        if text := ast.get_docstring(node):
            yield Docstring(name, name.partition(".")[0], _kind(node, inside_class), _signature(node), text)
        if isinstance(node, ast.ClassDef):
            yield from _from_body(node.body, name, inside_class=True)


def _kind(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, inside_class: bool) -> str:
    if isinstance(node, ast.ClassDef):
        return "class"
    if any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in node.decorator_list):
        return "attribute"
    return "method" if inside_class else "function"


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    return f"{node.name}({ast.unparse(node.args)})"


def _from_c_modules() -> Iterator[Docstring]:
    for name in C_MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue  # left out when this Python was built, as sqlite3 and lzma often are
        yield from _from_module(module, name)


def _from_module(module: ModuleType, module_name: str) -> Iterator[Docstring]:
    for name, member in sorted(vars(module).items()):
        if name.startswith("_") or (name in _HOOKS and module_name == "sys"):
            continue
        qualified = name if module_name == "builtins" else f"{module_name}.{name}"
        if inspect.isbuiltin(member):
            yield from _of_object(member, qualified, module_name, "function", f"{name}{_arguments(member)}")
        elif inspect.isclass(member) and member.__module__ in (module_name, f"_{module_name}"):
            yield from _of_object(member, qualified, module_name, "class", f"class {name}{_arguments(member)}")
            yield from _of_members(member, qualified, module_name)


def _of_members(owner: type, prefix: str, module: str) -> Iterator[Docstring]:
    for name, held in sorted(vars(owner).items()):
        if name.startswith("_"):
            continue
        member = held.__func__ if isinstance(held, staticmethod) else held
        if inspect.ismethoddescriptor(member) or inspect.isbuiltin(member):
            yield from _of_object(member, f"{prefix}.{name}", module, "method", f"{name}{_arguments(member)}")
        elif inspect.isgetsetdescriptor(member) or inspect.ismemberdescriptor(member):
            yield from _of_object(member, f"{prefix}.{name}", module, "attribute", "")


def _of_object(member: Any, name: str, module: str, kind: str, signature: str) -> Iterator[Docstring]:
    # Read from the object itself: inspect.getdoc would give a subclass its parent's text.
    text = member.__doc__
    if isinstance(text, str) and text.strip():
        yield Docstring(name, module, kind, signature, inspect.cleandoc(text))


def _arguments(member: Any) -> str:
    """Arguments where C code states them, `(...)` where it does not."""
    try:
        return str(inspect.signature(member))
    except (ValueError, TypeError):
        return "(...)"
