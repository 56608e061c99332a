"""Planting one bug in the real code: a module's source is changed as it is imported, in a process of its own.

Nothing on disk changes. The process forgets every module of ours, imports all of it anew with the change in place, and
tries: matching tests first, where the repository is at hand, then worlds. What ends in an error at import, or never
ends, counts as caught too. Automatic mutants swap operators, bounds and conditions one at a time, as in mutation
testing since DeMillo, Lipton and Sayward (IEEE Computer 1978); a tool of its own is not needed for that, and none would
run the worlds.
"""

import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import os
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import holdfast

SOURCE = Path(holdfast.__file__).parent
TESTS = SOURCE.parent.parent / "tests"
STORIES = [TESTS / "core" / "feed" / name for name in ("test_story.py", "test_formulas.py")]
CPU_S = 100  # a mutant that takes longer never ends
Change = Callable[[str], str]

_EDGE: dict[type[ast.AST], type[ast.AST]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_NOT: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_MATH: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug. Planted: `old`, which must occur once, becomes `new`; automatic: the `site`th place of `module`."""

    name: str
    module: str
    old: str = ""
    new: str = ""
    site: int = -1
    seeds: tuple[int, ...] = ()

    @property
    def planted(self) -> bool:
        """Whether a person wrote it."""
        return self.site < 0

    def change(self, source: str) -> str:
        """Return the module's source with the bug in it."""
        if not self.planted:
            return ast.unparse(_mutated(ast.parse(source), self.site))
        if not self.old:
            return source
        assert source.count(self.old) == 1, f"{self.name}: `{self.old}` stands {source.count(self.old)} times"
        return source.replace(self.old, self.new)


def path_of(module: str) -> Path:
    """The source file of a module of ours."""
    return SOURCE.joinpath(*module.split(".")[1:]).with_suffix(".py")


# -- automatic ones ----------------------------------------------------------------------------------------------------


def automatic(count: int, seed: int = 1) -> list[Mutant]:
    """Draw `count` mutants of the core, each place as likely as any other."""
    found: list[Mutant] = []
    for path in sorted((SOURCE / "core").rglob("*.py")):
        module = ".".join(("holdfast", *path.relative_to(SOURCE).with_suffix("").parts))
        tree = ast.parse(path.read_text())
        for k, (node, what) in enumerate(_places(tree)):
            found.append(Mutant(f"{module.removeprefix('holdfast.')}:{node.lineno} {what}", module, site=k))  # type: ignore[attr-defined]
    return Random(seed).sample(found, min(count, len(found)))


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every place in functions where a mutant may be, in a fixed order; messages and assertions are no behaviour."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for statement in function.body:
                yield from _in(statement)


def _in(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.FunctionDef | ast.ClassDef | ast.Lambda):
        return
    yield from ((node, what) for what in _changes(node))
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _in(child)


def _changes(node: ast.AST) -> list[str]:
    """What may be done to a node, in words."""
    if isinstance(node, ast.Compare):
        op = type(node.ops[0])
        return [f"{op.__name__} is {swap[op].__name__}" for swap in (_EDGE, _NOT) if op in swap]
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        op = type(node.op)
        return [f"{op.__name__} is {_MATH[op].__name__}"] if op in _MATH else []
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        return ["condition turned round"]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return [f"{node.value} is {not node.value}"]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ["call left out"]
    if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        return ["returns None"]
    return []


def _mutated(tree: ast.Module, site: int) -> ast.Module:
    """Change the `site`th place of a tree."""
    node: Any
    node, what = next(found for k, found in enumerate(_places(tree)) if k == site)
    wanted: Any = getattr(ast, what.rpartition(" is ")[2], None)
    match node:
        case ast.Compare():
            node.ops[0] = wanted()
        case ast.BinOp() | ast.BoolOp() | ast.AugAssign():
            node.op = wanted()
        case ast.If() | ast.IfExp() | ast.While():
            node.test = ast.UnaryOp(ast.Not(), copy.copy(node.test))
        case ast.Expr() | ast.Return():
            node.value = ast.Constant(None)
        case _:
            node.value = not node.value
    return ast.fix_missing_locations(tree)


# -- trying one --------------------------------------------------------------------------------------------------------


class _Planter(importlib.abc.MetaPathFinder):
    """Finds one module, with its change."""

    def __init__(self, module: str, change: Change) -> None:
        self._module, self._change = module, change

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if fullname != self._module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None and spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin, self._change)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, change: Change) -> None:
        super().__init__(name, path)
        self._change = change

    def get_code(self, fullname: str) -> Any:
        source = self.get_data(self.path).decode()
        return compile(self._change(source), self.path, "exec")


def attempt(mutant: Mutant, seeds: Sequence[int], pipe: Connection) -> None:
    """Plant a bug in this process, which is its own, and say through `pipe` what noticed it, "" for nothing."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    for name in [m for m in sys.modules if m.split(".")[0] == "holdfast"]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Planter(mutant.module, mutant.change))
    try:
        told = "" if mutant.planted else _by_tests(mutant)
        told = told or _by_worlds(seeds)
        pipe.send(told or (_by_tests(mutant) if mutant.planted and mutant.old else ""))  # worlds cannot see all
    except BaseException as e:  # noqa: BLE001 - whatever it is, somebody noticed
        pipe.send(f"it ends by {type(e).__name__}: {str(e)[:100]}")


def _by_worlds(seeds: Sequence[int]) -> str:
    world = importlib.import_module("holdfast.sim.world")
    for seed in seeds:
        breaches = world.run(seed).breaches
        if breaches:
            return f"seed {seed}: {breaches[0][:160]}"
    return ""


def _by_tests(mutant: Mutant) -> str:
    """Run the tests of the module, those that tell the whole feed in numbers, and those beside it; say what failed."""
    import pytest

    parts = mutant.module.split(".")[1:]
    beside = TESTS.joinpath(*parts[:-1])
    first = beside / f"test_{parts[-1]}.py"
    near = sorted(beside.glob("test_*.py"))
    for what, paths in ((first.name, [first]), ("of the story", STORIES), (f"in {beside.name}", near)):
        there = [str(p) for p in paths if p.exists()]
        if there and pytest.main(["-q", "-x", "-p", "no:cacheprovider", *there]) not in (0, 5):
            return f"tests {what}"
    return ""
