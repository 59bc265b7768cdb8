"""The public interface, found by walking it."""

import inspect
from dataclasses import is_dataclass

import unbatch as ub

NAMESPACES = ("tl", "pp", "pl", "get", "datasets")


def public_objects():
    """Every public function, class and method of a class, by the name that a user writes."""
    found = {}
    for name in ub.__all__:
        value = getattr(ub, name)
        if inspect.ismodule(value):
            found.update({f"{name}.{own}": getattr(value, own) for own in _names(value)})
        elif callable(value):
            found[name] = value
    for name, value in list(found.items()):
        if inspect.isclass(value) and not issubclass(value, BaseException):
            methods = inspect.getmembers(value, lambda one: inspect.isfunction(one) or inspect.ismethod(one))
            found.update({f"{name}.{own}": method for own, method in methods if not own.startswith("_")})
    return found


def _names(module):
    own = getattr(module, "__all__", None)
    if own is not None:
        return own
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__
    ]


def parameters(value):
    """Names of the parameters that a caller may give."""
    if inspect.isclass(value) and issubclass(value, BaseException | Warning):
        return []
    return [name for name in inspect.signature(value).parameters if name not in {"self", "cls"}]


def documents_fields(value):
    """Whether a class explains its parameters one by one, under each field, instead of in one section."""
    return is_dataclass(value)
