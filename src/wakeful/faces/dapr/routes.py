"""What a route of the HTTP face is."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from starlette.types import Receive, Scope

from wakeful.faces.dapr.answers import Answer


class Call(NamedTuple):
    """One request. ``alpha`` is whether it came by ``v1.0-alpha1``; ``parts`` are the variable parts of its path."""

    scope: Scope
    receive: Receive
    alpha: bool
    parts: tuple[bytes, ...]


Handler = Callable[[Call], Awaitable[Answer]]


class Route(NamedTuple):
    """Who answers at a path, by method; a public one asks for no token."""

    handlers: Mapping[str, Handler]
    alpha: bool = False
    public: bool = False
