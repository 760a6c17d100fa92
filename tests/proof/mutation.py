"""Faults put into the rules on purpose, one at a time, to prove that the checks notice every one.

A mutant is a rule's whole module, executed anew from its source with one change in one function: a sign
flipped, a term or a factor dropped or scaled, a comparison moved by one, two branches or two results
swapped. The functions that are changed are the reference, the forward and backward parts, and the
helpers that they call.
"""

import ast
import copy
import dataclasses
import functools
import inspect
import sys
from collections.abc import Iterator
from typing import Any

from fdl.rule import Rule


@dataclasses.dataclass(frozen=True)
class Function:
    """One top-level function of a module with rules in it; ``rule`` is None for a helper."""

    module: str
    name: str
    rule: str | None
    line: int

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def functions(module: str) -> list[Function]:
    """What there is to break in a module: parts of rules, and helpers that are no checks of arguments."""
    found = []
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef):
            decorators = [ast.unparse(d) for d in node.decorator_list]
            parts = [d.split(".") for d in decorators if d.endswith((".forward", ".backward", ".validate"))]
            if parts and parts[0][1] != "validate":
                found.append(Function(module, ".".join(parts[0]), parts[0][0], node.lineno))
            elif any(d == "rule" or d.startswith("rule(") for d in decorators):
                found.append(Function(module, node.name, node.name, node.lineno))
            elif not parts and not node.name.startswith("_check"):
                found.append(Function(module, node.name, None, node.lineno))
    return found


def mutants(function: Function) -> Iterator[tuple[str, dict[str, Rule[..., Any]]]]:
    """For each fault that fits into the function: what it is, and the rules of the module that has it."""
    original = _find(_tree(function.module), function)
    for index, node in enumerate(ast.walk(original)):
        for fault, _ in _faults(node, function):
            tree = copy.deepcopy(_tree(function.module))
            broken = list(ast.walk(_find(tree, function)))[index]
            dict(_faults(broken, function))[fault]()
            yield f"line {node.lineno}: {ast.unparse(node)}: {fault}", _execute(tree, function.module)


def original(module: str) -> dict[str, Rule[..., Any]]:
    """The rules of a module without any fault, made as the mutants are."""
    return _execute(_tree(module), module)


def _faults(node: ast.AST, function: Function) -> list[tuple[str, Any]]:
    """The faults that fit at a node: (name, function that puts it into the node)."""
    faults: list[tuple[str, Any]] = []

    def fault(name: str, **fields: Any) -> None:
        faults.append((name, lambda: [setattr(node, field, value) for field, value in fields.items()]))

    if isinstance(node, ast.BinOp):
        opposite = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.MatMult: ast.Add}
        is_same = isinstance(node.op, (ast.Mult, ast.Div)) and _is_of_ones(node.right)
        if type(node.op) in opposite and not is_same:
            fault("operation inverted", op=opposite[type(node.op)]())
        nothing = ast.Constant(0 if isinstance(node.op, (ast.Add, ast.Sub)) else 1)
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)):
            fault("right side dropped", right=nothing)
            fault("right side scaled", right=_times(node.right, 1.01))
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div)):
            fault("left side negated", left=_times(node.left, -1))
            if ast.unparse(node.left) != ast.unparse(nothing):
                fault("left side dropped", left=nothing)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        fault("sign dropped", op=ast.UAdd())
    if isinstance(node, ast.Compare):
        other = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq}
        if type(node.ops[0]) in other:
            fault("comparison moved", ops=[other[type(node.ops[0])]()])
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "jnp.where" and len(node.args) == 3:
        condition, yes, no = node.args
        fault("branches swapped", args=[condition, no, yes])
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        elements = node.value.elts
        for i in range(len(elements)):
            if function.name.endswith(".backward") and not isinstance(elements[i], ast.Constant):
                scaled, negated = (_replaced(elements, i, _times(elements[i], factor)) for factor in (1.01, -1))
                fault(f"result {i} scaled", value=scaled)
                fault(f"result {i} negated", value=negated)
        for tuple_node in [node.value, *(e for e in elements if isinstance(e, ast.Tuple))]:
            for i in range(len(tuple_node.elts) - 1):
                first, second = tuple_node.elts[i : i + 2]
                if ast.unparse(first) == ast.unparse(second):
                    continue
                swapped = _replaced(_replaced(tuple_node.elts, i, second).elts, i + 1, first)
                whole = (
                    swapped if tuple_node is node.value else _replaced(elements, elements.index(tuple_node), swapped)
                )
                fault(f"{ast.unparse(first)} and {ast.unparse(second)} swapped", value=whole)
    return faults


def _is_of_ones(node: ast.expr) -> bool:
    """Whether it is an array of 1 and -1 written out, by which to multiply is to divide."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "jnp.array":
        return False
    try:
        return all(number in (1, -1) for number in ast.literal_eval(node.args[0]))
    except ValueError:
        return False


def _times(node: ast.expr, factor: float) -> ast.expr:
    return ast.BinOp(node, ast.Mult(), ast.Constant(factor))


def _replaced(elements: list[ast.expr], index: int, element: ast.expr) -> ast.Tuple:
    return ast.Tuple([*elements[:index], element, *elements[index + 1 :]], ast.Load())


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


def _find(tree: ast.Module, function: Function) -> ast.FunctionDef:
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.lineno == function.line)


def _execute(tree: ast.Module, module: str) -> dict[str, Rule[..., Any]]:
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(ast.fix_missing_locations(tree), f"<mutant of {module}>", "exec"), namespace)
    return {name: value for name, value in namespace.items() if isinstance(value, Rule) and value.__module__ == module}
