"""The fast reader of JSON objects: straight-line Python for just the keys that a line has.

A preset knows seventy names that a key may have; a server always writes the same dozen. So the
code is generated for the sources that are there, once a set of keys, as ``namedtuple`` does it.
Whatever is out of the ordinary gives None: the exact reader decides then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ingestor.formats.fields import Role

Path = tuple[str | int, ...]
Extract = Callable[[dict[str, object]], list[bytes] | None]

_EMPTY: dict[str, object] = {}


class Source(NamedTuple):
    """Where a role's value stands in a line's object."""

    path: Path
    alone: bool  # nothing else is part of the value
    joined: bool = False  # in a list of several, all count


def extractor(sources: Mapping[Role, Sequence[Source]], roles: Sequence[Role]) -> Extract:
    """Generate the reader that gives the columns of ``roles``, the request line among them."""
    code = _Code()
    columns = ", ".join(
        code.request(sources)
        if role is Role.REQUEST
        else code.role(sources[role], is_status=role is Role.STATUS)
        for role in roles
    )
    source = "\n".join(["def extract(v):", *code.lines, f"    return [{columns}]"])
    namespace: dict[str, Extract] = {}
    exec(source, {"EMPTY": _EMPTY}, namespace)  # noqa: S102 - our own text; keys stand as repr()
    return namespace["extract"]


def is_status(value: bytes) -> bool:
    """Tell a status code from what else stands under a key of that name."""
    return len(value) == 3 and value.isdigit()  # noqa: PLR2004 - what a status is


class _Code:
    """The lines of one reader."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._containers: dict[Path, str] = {(): "v"}
        self._names = 0

    def role(self, sources: Sequence[Source], *, is_status: bool = False) -> str:
        """Read the first filled source into a variable, as bytes; give its name.

        Of several that may hold a status the first that does.
        """
        name = self._name()
        direct = [source for source in sources if source.alone]
        last, missing = f"if {name} == b'-': {name} = b''", f"{name} == b'' or {name} == b'-'"
        if is_status and len(sources) > 1:
            missing = f"len({name}) != 3 or not {name}.isdigit()"
            last = f"if {missing}: return None"
        if not direct:
            self._line("return None" if sources else f"{name} = b''")
            return name
        indent = ""
        for source in direct:
            self._value(name, source, indent)
            if source is not direct[-1] or len(direct) < len(sources):
                self._line(f"if {missing}:", indent)
                indent += " "
        if len(direct) < len(sources):
            self._line("return None", indent)
        self._line(last)
        return name

    def request(self, sources: Mapping[Role, Sequence[Source]]) -> str:
        """Put the request line together, or take it whole."""
        if sources[Role.REQUEST]:
            name = self.role(sources[Role.REQUEST])
            self._line(f"if not {name} or {name}[:1] == b'/': return None")
            return name
        of_path = not sources[Role.TARGET]
        target = self.role(sources[Role.PATH if of_path else Role.TARGET])
        if of_path and sources[Role.PATH]:  # decoded: not for the fast reader
            self._line(f"if b'%' in {target} or b'?' in {target}: return None")
        query = self.role(sources[Role.QUERY])
        method = self.role(sources[Role.METHOD])
        protocol = self.role(sources[Role.PROTOCOL])
        name = self._name()
        self._line(f"if not {target} or not {method} or {query}: return None")
        whole = f"{name} = {method} + b' ' + {target} + b' ' + {protocol}"
        self._line(f"if {protocol}[:5] == b'HTTP/': {whole}")
        self._line(f"else: {name} = {method} + b' ' + {target}.replace(b' ', b'%20')")
        return name

    def _value(self, name: str, source: Source, indent: str) -> None:
        *outer, last = source.path
        listed = isinstance(last, int)
        key = outer.pop() if listed else last
        self._line(f"{name} = {self._container(tuple(outer), indent)}.get({key!r})", indent)
        if listed:
            if source.joined:
                self._line(f"if type({name}) is list and len({name}) > 1: return None", indent)
            item = f"{name}[{last}] if len({name}) > {last} else None"
            self._line(f"if type({name}) is list: {name} = {item}", indent)
        self._line(f"if type({name}) is str: {name} = {name}.encode()", indent)
        self._line(f"elif {name} is None: {name} = b''", indent)
        number = f"type({name}) is int or type({name}) is float"
        self._line(f"elif {number}: {name} = repr({name}).encode()", indent)
        self._line("else: return None", indent)

    def _container(self, path: Path, indent: str) -> str:
        name = self._containers.get(path)
        if name is None:
            outer = self._container(path[:-1], indent)
            name = self._name()
            self._line(f"{name} = {outer}.get({path[-1]!r})", indent)
            self._line(f"if type({name}) is not dict: {name} = EMPTY", indent)
            if not indent:  # inside of a condition it might not be set for others
                self._containers[path] = name
        return name

    def _line(self, text: str, indent: str = "") -> None:
        self.lines.append(f"    {indent}{text}")

    def _name(self) -> str:
        self._names += 1
        return f"x{self._names}"
