"""The rules of the house, each a function that names whoever breaks it.

Code is given as `Files`, the text of each file by its path below the project: a test can plant an offender.
"""

import ast
import builtins
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeGuard

Files = Mapping[Path, str]

MODULES = 20  # of a folder
FUNCTION = 50  # lines
CLASS = 200
ROOMS = ("app", "tasks", "models", "config")
# History: one for each change of the tables, and never shortened afterwards.
MIGRATIONS = Path("models/migrations/versions")
ERRORS = Path("app/errors.py")
SETTINGS = "config"  # stands below the errors, and imports nothing: it has its own

_BUILTIN_ERRORS = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def read(root: Path, *folders: str) -> Files:
    """The Python files below these folders of `root`."""
    return {
        path.relative_to(root): path.read_text()
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
    }


def crowded(files: Files) -> list[str]:
    """Folders with more modules than one can hold in mind."""
    rooms = Counter(path.parent for path in files if path.name != "__init__.py" and path.parent != MIGRATIONS)
    return [f"{room}: {count} modules" for room, count in rooms.items() if count > MODULES]


def long_ones(files: Files) -> list[str]:
    """Functions and classes that cannot be read at once."""
    return [
        f"{path}:{node.lineno} {node.name}: {lines} lines"
        for path, text in files.items()
        if path.parent != MIGRATIONS
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := _lines(node)) > (CLASS if isinstance(node, ast.ClassDef) else FUNCTION)
    ]


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def errors_elsewhere(files: Files) -> list[str]:
    """Exception classes outside app/errors.py, but for the control flow that one file keeps to itself."""
    trees = {path: ast.parse(text) for path, text in files.items()}
    users = _users(trees)
    return [
        f"{path} {name}"
        for path, name in sorted(_errors(trees))
        if path != ERRORS
        and path.parts[0] != SETTINGS
        and not (name.startswith("_") and users[name] == {path})
    ]


def _errors(trees: Mapping[Path, ast.Module]) -> set[tuple[Path, str]]:
    """The classes that are exceptions by their bases, however many steps away."""
    bases = {
        (path, node.name): {_last(base) for base in node.bases}
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    errors: set[tuple[Path, str]] = set()
    while (found := _built_on(bases, errors)) != errors:
        errors = found
    return errors


def _built_on(
    bases: Mapping[tuple[Path, str], set[str]], errors: set[tuple[Path, str]]
) -> set[tuple[Path, str]]:
    """Those of the classes that have one of `errors`, or an error of a library, as a base."""
    named = _BUILTIN_ERRORS | {name for _, name in errors}

    def is_error(path: Path, base: str) -> bool:
        if (path, base) in bases:  # of that name in the same file
            return (path, base) in errors
        return base in named or base.endswith(("Error", "Exception"))

    return {(path, name) for (path, name), its in bases.items() if any(is_error(path, base) for base in its)}


def _last(node: ast.expr) -> str:
    """`Base` of `Base`, `module.Base` and `Base[T]`."""
    if isinstance(node, ast.Subscript):
        return _last(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _users(trees: Mapping[Path, ast.Module]) -> Mapping[str, set[Path]]:
    """Which files say a name."""
    users: dict[str, set[Path]] = defaultdict(set)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.alias):
                users[node.name].add(path)
            elif isinstance(node, ast.Name | ast.Attribute):
                users[_last(node)].add(path)
    return users


def unencoded(files: Files) -> list[str]:
    """Text that is read or written in whatever encoding the locale happens to have."""
    return [
        f"{path}:{node.lineno}"
        for path, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and _is_text(node) and not _says_encoding(node)
    ]


def _is_text(call: ast.Call) -> bool:
    """Whether this reads or writes text of a file; `open` of an object of ours is not a file's."""
    name = _last(call.func)
    if name in ("read_text", "write_text"):
        return True
    if name not in ("open", "fdopen") or _root(call.func) == "archive":
        return False
    modes = [arg for arg in (*call.args, *(one.value for one in call.keywords)) if _is_mode(arg)]
    if modes:
        return "b" not in modes[0].value
    return isinstance(call.func, ast.Name) and name == "open"


def _is_mode(node: ast.expr) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and re.fullmatch(r"[rwaxbt+]{1,4}", str(node.value)) is not None


def _says_encoding(call: ast.Call) -> bool:
    return any(keyword.arg == "encoding" for keyword in call.keywords)


def patched(files: Files) -> list[str]:
    """Tests that put something of theirs in place of a function of ours.

    A figure, such as how long is waited or how much is read at once, may be set: it is written in CAPITALS.
    """
    return [
        f"{path}:{line}" for path, text in files.items() for line in sorted(set(_patches(ast.parse(text))))
    ]


def _patches(tree: ast.Module) -> Iterator[int]:
    ours = _ours(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and _is_mock(node):
            yield node.lineno
        if isinstance(node, ast.Call) and _last(node.func) == "setattr" and _replaces(node, ours):
            yield node.lineno


def _ours(tree: ast.Module) -> set[str]:
    """The names by which a file calls what is ours."""
    ours = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module or ""):
            ours |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            ours |= {alias.asname or alias.name.split(".")[0] for alias in node.names if _is_ours(alias.name)}
    return ours


def _is_ours(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in {*ROOMS, "celeryconfig"}


def _is_mock(node: ast.Import | ast.ImportFrom) -> bool:
    modules = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    )
    return any("mock" in module.split(".") for module in modules) or any(
        alias.name == "mock" for alias in node.names
    )


def _replaces(call: ast.Call, ours: set[str]) -> bool:
    """Whether a `setattr(target, name, value)` or `setattr("target.name", value)` puts aside what is ours."""
    target = call.args[0] if call.args else None
    if isinstance(target, ast.Constant):
        dotted = str(target.value)
        return _is_ours(dotted) and not dotted.rpartition(".")[2].isupper()
    name = call.args[1] if len(call.args) > 1 else None
    figure = isinstance(name, ast.Constant) and str(name.value).isupper()
    return target is not None and _root(target) in ours and not figure


def _root(node: ast.expr) -> str:
    """`a` of `a`, `a.b`, `a.b["c"]` and `a.b()`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return getattr(node, "id", "")
