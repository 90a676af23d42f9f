"""What a compute block may use; everything else is refused."""

import ast
import math
from collections.abc import Mapping

# What may be imported, and of that only these names: a module itself would hand out the modules that it uses.
MODULES: Mapping[str, tuple[str, ...]] = {
    "base64": ("b64decode", "b64encode", "urlsafe_b64decode", "urlsafe_b64encode"),
    "collections": ("Counter", "OrderedDict", "defaultdict", "deque"),
    "copy": ("copy", "deepcopy"),
    "datetime": ("UTC", "date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal", "InvalidOperation", "ROUND_CEILING", "ROUND_DOWN", "ROUND_FLOOR", "ROUND_HALF_UP"),
    "functools": ("cmp_to_key", "partial", "reduce"),
    "html": ("escape", "unescape"),
    "itertools": (
        *("accumulate", "chain", "combinations", "count", "cycle", "dropwhile", "groupby", "islice", "pairwise"),
        *("permutations", "product", "repeat", "starmap", "takewhile", "zip_longest"),
    ),
    "json": ("JSONDecodeError", "dumps", "loads"),
    "math": tuple(name for name in dir(math) if not name.startswith("_")),
    "operator": ("itemgetter",),
    "re": (
        *("A", "ASCII", "DOTALL", "I", "IGNORECASE", "M", "MULTILINE", "S", "VERBOSE", "X", "compile", "error"),
        *("escape", "findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn"),
    ),
    "statistics": (
        *("StatisticsError", "fmean", "geometric_mean", "harmonic_mean", "mean", "median", "median_high"),
        *("median_low", "mode", "multimode", "pstdev", "pvariance", "quantiles", "stdev", "variance"),
    ),
    "string": ("ascii_letters", "ascii_lowercase", "ascii_uppercase", "capwords", "digits", "hexdigits", "punctuation"),
    "textwrap": ("dedent", "fill", "indent", "shorten", "wrap"),
    "urllib.parse": (
        *("parse_qs", "parse_qsl", "quote", "quote_plus", "unquote", "unquote_plus", "urlencode", "urljoin"),
        *("urlparse", "urlsplit"),
    ),
}
# There without an import; datetime is the class, as in `from datetime import datetime`.
PREBOUND: Mapping[str, tuple[str, str | None]] = {
    **{name: (name, None) for name in ("json", "math", "re", "statistics")},
    **{name: ("datetime", name) for name in ("date", "datetime", "timedelta", "timezone")},
}
BUILTINS = (
    *("abs", "all", "any", "bin", "bool", "bytes", "callable", "chr", "dict", "divmod", "enumerate", "filter", "float"),
    *("frozenset", "hash", "hex", "int", "isinstance", "iter", "len", "list", "map", "max", "min", "next", "oct"),
    *("ord", "pow", "range", "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip"),
    *("ArithmeticError", "AssertionError", "AttributeError", "Exception", "IndexError", "KeyError", "LookupError"),
    *("NotImplementedError", "OverflowError", "RecursionError", "RuntimeError", "StopIteration", "TypeError"),
    *("UnicodeError", "ValueError", "ZeroDivisionError"),
)
# Names that lead from a value to the interpreter's insides.
INSIDES = frozenset(
    {
        *("gi_frame", "gi_code", "gi_yieldfrom", "cr_frame", "cr_code", "cr_await", "cr_origin"),
        *("ag_frame", "ag_code", "ag_await", "tb_frame", "tb_next", "co_code", "co_consts"),
        *("f_back", "f_builtins", "f_code", "f_globals", "f_locals", "f_trace", "mro", "with_traceback"),
    }
)
# A step's variable may bear one of these names.
METHODS = frozenset(name for kind in (dict, list, str, int, float) for name in dir(kind) if not name.startswith("_"))
# The kinds of statements and expressions: no classes, no context managers, nothing asynchronous.
NODES: tuple[type[ast.AST], ...] = (
    *(ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.While, ast.If, ast.Try, ast.Raise),
    *(ast.Assert, ast.FunctionDef, ast.Lambda, ast.Return, ast.Yield, ast.YieldFrom, ast.Pass, ast.Break, ast.Continue),
    *(ast.Delete, ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom, ast.alias, ast.ExceptHandler, ast.arguments),
    *(ast.arg, ast.keyword, ast.comprehension, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.BoolOp),
    *(ast.BinOp, ast.UnaryOp, ast.NamedExpr, ast.IfExp, ast.Dict, ast.Set, ast.List, ast.Tuple, ast.Compare, ast.Call),
    *(ast.FormattedValue, ast.JoinedStr, ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.Slice),
    *(ast.operator, ast.boolop, ast.unaryop, ast.cmpop, ast.expr_context),
)
# What people try first, and what there is instead.
INSTEAD = {
    "open": "files are out of reach",
    "type": "isinstance() tells what a value is",
    "getattr": "item['key'] and item.get('key') are there",
    "hasattr": "'key' in item is there",
    **dict.fromkeys(("eval", "exec", "compile", "__import__"), "code from text is not run"),
}
