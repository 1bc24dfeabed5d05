"""PURE. A table of what modules give to others, made from their signatures and docstrings."""

import inspect
import types
from enum import StrEnum

from ops.reference import table

_GIVEN_BY_PYTHON = ("Enum where members", "A collection of name/value pairs")


def api(*modules: types.ModuleType) -> str:
    """Every public function, class and method, with the first paragraph of its docstring."""
    rows = []
    for module in modules:
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__ or not callable(thing):
                continue
            rows.append((f"`{_called(f'{module.__name__}.{name}', thing)}`", _meaning(thing)))
            if inspect.isclass(thing) and not issubclass(thing, tuple | StrEnum):
                rows += [
                    (f"\u2003`{_called(verb, method)}`", _meaning(method))
                    for verb, method in vars(thing).items()
                    if inspect.isfunction(method) and not verb.startswith("_") and method.__doc__
                ]
    return table(("name", "meaning"), rows)


def _called(name: str, thing: object) -> str:
    if not inspect.isfunction(thing):
        return name
    given = [word for word in inspect.signature(thing).parameters if word != "self"]
    return f"{'await ' if inspect.iscoroutinefunction(thing) else ''}{name}({', '.join(given)})"


def _meaning(thing: object) -> str:
    own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    text = " ".join((own or "").strip().split("\n\n")[0].split())
    if text.startswith(_GIVEN_BY_PYTHON) or (inspect.isclass(thing) and text.startswith(f"{thing.__name__}(")):
        return ""
    return text
