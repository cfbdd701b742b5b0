"""The mutations of a module: small changes of its syntax tree, each of which some test should notice.

Changed are comparisons and their boundaries, `and`, `or`, `not` and bare conditions, arithmetic, numbers, booleans,
strings that functions decide by, `match` cases and their guards, entries of tables, returned values and statements.
Left alone are annotations, decorators, docstrings, f-strings, the texts of raised errors and `assert_never`.

The id of a mutation is the qualified name of its function, its text before and its text after, so that it stays the
same when lines move; equal ids within one function are numbered.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CONTEXT_LENGTH = 80
"""Characters that the text of a mutation may take before it is shown without the expression around it."""

COMPARISONS: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}

Functions = ast.FunctionDef | ast.AsyncFunctionDef
Shown = ast.expr | ast.keyword | ast.Assign | ast.AugAssign | ast.AnnAssign


@dataclass(frozen=True)
class Mutation:
    """One change of a syntax tree; `apply` and `undo` change the tree in place."""

    id: str
    line: int
    apply: Callable[[], None]
    undo: Callable[[], None]


def find_mutations(tree: ast.Module) -> list[Mutation]:
    """The mutations of a module in the order of its text; none if it has no function."""
    if not any(isinstance(node, Functions) for node in ast.walk(tree)):
        return []
    finder = _Finder()
    finder.visit_body(tree.body, in_function=False)
    seen: Counter[str] = Counter()
    found = []
    for mutation in finder.found:
        seen[mutation.id] += 1
        number = seen[mutation.id]
        name = mutation.id if number == 1 else f"{mutation.id} #{number}"
        found.append(Mutation(name, mutation.line, mutation.apply, mutation.undo))
    return found


class _Finder:
    """Walks over a tree with the way from its root, and collects mutations."""

    def __init__(self) -> None:
        self.found: list[Mutation] = []
        self._names: list[str] = []
        self._above: list[ast.AST] = []
        self._rebound: set[str] = set()
        """Names that the function binds more than once: only then a removed assignment is more than a NameError."""

    # Statements ─────────────────────────────────────────────────────────────

    def visit_body(self, body: list[ast.stmt], *, in_function: bool) -> None:
        for place, statement in enumerate(body):
            if _is_docstring(statement) or _is_assert_never(statement):
                continue
            if in_function:
                self._remove(body, place, statement)
            self._visit_statement(statement, in_function=in_function)

    def _visit_statement(self, statement: ast.stmt, *, in_function: bool) -> None:
        self._above.append(statement)
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._visit_function(statement)
            case ast.ClassDef(name=name, body=body):
                self._names.append(name)
                self.visit_body(body, in_function=False)
                self._names.pop()
            case ast.Raise():
                pass
            case ast.Match(subject=subject, cases=cases):
                self._visit_slot(statement, "subject", None, subject, in_function=in_function)
                for case in cases:
                    self._visit_case(case, cases, in_function=in_function)
            case _:
                self._visit_fields(statement, in_function=in_function)
        self._above.pop()

    def _visit_function(self, function: Functions) -> None:
        outer, self._rebound = self._rebound, _rebound_names(function)
        self._names.append(function.name)
        for field in ("defaults", "kw_defaults"):
            for place, default in enumerate(getattr(function.args, field)):
                if default is not None:
                    self._visit_slot(function.args, field, place, default, in_function=True)
        self.visit_body(function.body, in_function=True)
        self._names.pop()
        self._rebound = outer

    def _visit_case(self, case: ast.match_case, cases: list[ast.match_case], *, in_function: bool) -> None:
        if _is_assert_never(case.body[0]):
            return
        if len(cases) > 1:
            guard = f" if {ast.unparse(case.guard)}" if case.guard else ""
            text = f"case {ast.unparse(case.pattern)}{guard}"
            self._change(case, "guard", None, case.guard, ast.Constant(False), (text, "(removed)"), case.body[0])
        if case.guard:
            self._change(case, "guard", None, case.guard, ast.Constant(True), None, case.guard)
            self._visit_slot(case, "guard", None, case.guard, in_function=in_function)
        self._visit_pattern(case.pattern)
        self.visit_body(case.body, in_function=in_function)

    def _visit_pattern(self, pattern: ast.pattern) -> None:
        for node in ast.walk(pattern):
            if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant):
                for other in _other_constants(node.value, in_function=True):
                    self._change(node, "value", None, node.value, other, None, node.value)
            if isinstance(node, ast.MatchOr) and len(node.patterns) > 1:
                for place, one in enumerate(node.patterns):
                    rest = [*node.patterns[:place], *node.patterns[place + 1 :]]
                    texts = (f"case {ast.unparse(node)}", f"without {ast.unparse(one)}")
                    self._change(node, "patterns", None, node.patterns, rest, texts, one)

    def _remove(self, body: list[ast.stmt], place: int, statement: ast.stmt) -> None:
        match statement:
            case ast.Return(value=None) | ast.Return(value=ast.Constant()):
                return
            case ast.Return():
                texts = (_shorten(ast.unparse(statement)), "return None")
                self._change(statement, "value", None, statement.value, ast.Constant(None), texts, statement)
                return
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name not in self._rebound:
                    return
            case ast.Break() | ast.Continue():
                other = ast.Continue() if isinstance(statement, ast.Break) else ast.Break()
                self._change(body, "", place, statement, other, None, statement)
                return
            case ast.Assign() | ast.AugAssign() | ast.Raise() | ast.Delete() | ast.Assert():
                pass
            case ast.Expr(value=ast.Call() | ast.Await()):
                pass
            case _:
                return
        texts = (_shorten(ast.unparse(statement)), "(removed)")
        self._change(body, "", place, statement, ast.Pass(), texts, statement)

    # Expressions ────────────────────────────────────────────────────────────

    def _visit_fields(self, node: ast.AST, *, in_function: bool) -> None:
        for field, value in ast.iter_fields(node):
            if field in {"annotation", "returns", "type_comment", "decorator_list", "format_spec"}:
                continue
            if isinstance(value, list):
                if value and isinstance(value[0], ast.stmt):
                    self.visit_body(value, in_function=in_function)
                    continue
                for place, one in enumerate(value):
                    self._visit_child(node, field, place, one, in_function=in_function)
            else:
                self._visit_child(node, field, None, value, in_function=in_function)

    def _visit_child(self, node: ast.AST, field: str, place: int | None, value: object, *, in_function: bool) -> None:
        if isinstance(value, ast.expr):
            self._visit_slot(node, field, place, value, in_function=in_function)
        elif isinstance(value, ast.comprehension | ast.keyword | ast.ExceptHandler | ast.withitem):
            self._above.append(value)
            self._visit_fields(value, in_function=in_function)
            self._above.pop()

    def _visit_slot(  # noqa: C901, PLR0912 - one case for each kind of expression
        self, node: ast.AST, field: str, place: int | None, value: ast.expr, *, in_function: bool
    ) -> None:
        """Mutate the expression that `node.field` (or its item at `place`) holds, then the expressions within."""

        def change(new: ast.AST) -> None:
            self._change(node, field, place, value, new, None, value)

        if field in {"test", "ifs"} and not isinstance(value, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
            change(ast.UnaryOp(ast.Not(), value))
        match value:
            case ast.Lambda(body=body):
                self._above.append(value)
                self._visit_slot(value, "body", None, body, in_function=True)
                self._above.pop()
                return
            case ast.JoinedStr() if not any(isinstance(part, ast.FormattedValue) for part in value.values):
                return
            case ast.Call(func=ast.Name(id="assert_never" | "cast" | "TypeVar" | "NewType")):
                return
            case ast.Constant():
                if not isinstance(node, ast.JoinedStr):
                    for other in _other_constants(value, in_function=in_function or _is_pattern(node)):
                        change(other)
                return
            case ast.BinOp() | ast.UnaryOp() if not in_function and _is_number(value):
                change(ast.BinOp(value, ast.Add(), ast.Constant(1)))
                return
            case ast.Compare(ops=ops):
                for position, operator in enumerate(ops):
                    for other in COMPARISONS[type(operator)]:
                        change(
                            ast.Compare(value.left, [*ops[:position], other(), *ops[position + 1 :]], value.comparators)
                        )
            case ast.BoolOp(op=operator):
                change(ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), value.values))
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
                change(operand)
            case ast.BinOp(op=operator) if in_function and type(operator) in OPERATORS:
                change(ast.BinOp(value.left, OPERATORS[type(operator)](), value.right))
            case ast.Set() | ast.List() | ast.Tuple() if _is_table(node, value, in_function=in_function):
                for position in range(len(value.elts)):
                    rest = [*value.elts[:position], *value.elts[position + 1 :]]
                    texts = (
                        f"{type(value).__name__.lower()} with {_shorten(ast.unparse(value.elts[position]))}",
                        "without",
                    )
                    self._change(value, "elts", None, value.elts, rest, texts, value.elts[position])
            case ast.Dict() if not in_function:
                for position, key in enumerate(value.keys):
                    keys = [*value.keys[:position], *value.keys[position + 1 :]]
                    values = [*value.values[:position], *value.values[position + 1 :]]
                    name = _shorten(ast.unparse(key or value.values[position]))
                    texts = (f"dict with {name}", "without")
                    self._change(node, field, place, value, ast.Dict(keys, values), texts, value.values[position])
        self._above.append(value)
        self._visit_fields(value, in_function=in_function)
        self._above.pop()

    # The change itself ──────────────────────────────────────────────────────

    def _change(
        self,
        holder: ast.AST | list[ast.stmt],
        field: str,
        place: int | None,
        old: object,
        new: object,
        texts: tuple[str, str] | None,
        at: ast.AST,
    ) -> None:
        def put(value: object) -> None:
            container = holder if isinstance(holder, list) else getattr(holder, field)
            if place is None:
                setattr(holder, field, value)
            else:
                container[place] = value

        before, after = texts or self._describe(put, old, new)
        name = ".".join(self._names) or "module"
        self.found.append(Mutation(f"{name}: {before} -> {after}", at.lineno, lambda: put(new), lambda: put(old)))

    def _describe(self, put: Callable[[object], None], old: object, new: object) -> tuple[str, str]:
        """The texts of the largest short expression around the change, before and after it."""
        shown: ast.AST | None = None
        for node in reversed(self._above):
            if not isinstance(node, Shown) or len(ast.unparse(node)) > CONTEXT_LENGTH:
                break
            shown = node
        before = ast.unparse(shown or old)
        put(new)
        after = ast.unparse(shown or new)
        put(old)
        return _shorten(before), _shorten(after)


def _other_constants(constant: ast.Constant, *, in_function: bool) -> Iterator[ast.Constant]:
    match constant.value:
        case bool() as value:
            yield ast.Constant(not value)
        case int() | float() as value:
            yield ast.Constant(value + 1)
            if in_function and value:
                yield ast.Constant(value - 1)
        case str() as value if in_function:
            yield ast.Constant(f"XX{value}")
        case bytes() as value if in_function:
            yield ast.Constant(b"XX" + value)


def _rebound_names(function: Functions) -> set[str]:
    arguments = [node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)]
    names = [node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return {name for name, count in Counter([*arguments, *names]).items() if count > 1}


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_assert_never(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
            return True
    return False


def _is_number(value: ast.expr) -> bool:
    return all(
        isinstance(node, ast.Constant | ast.BinOp | ast.UnaryOp)
        for node in ast.walk(value)
        if isinstance(node, ast.expr)
    ) and all(isinstance(node.value, int | float) for node in ast.walk(value) if isinstance(node, ast.Constant))


def _is_table(node: ast.AST, value: ast.expr, *, in_function: bool) -> bool:
    """Whether a display lists what is decided by: a constant of the module, or the right side of `in`."""
    if (
        isinstance(node, ast.Subscript)
        or not getattr(value, "elts", None)
        or not isinstance(value.ctx if isinstance(value, ast.List | ast.Tuple) else ast.Load(), ast.Load)
    ):
        return False
    return isinstance(node, ast.Compare) if in_function else True


def _is_pattern(node: ast.AST) -> bool:
    """Whether a string of the module is a regular expression."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr="compile")):
            return True
    return False


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CONTEXT_LENGTH * 2 else line[: CONTEXT_LENGTH * 2] + "..."
