"""YAML into frozen dataclasses, by their type hints, with errors that name file, line and key.

A validation library would bring its own words ("Extra inputs are not permitted") and 20 MB; an
operator is better served by the line, the key, and the nearest right spelling. YAML itself is
read by PyYAML's safe loader; nothing in a file is ever constructed but plain values.

Two conventions of the option classes give numbers their units: a ``float`` is a duration in
seconds ("200ms"), and an ``int`` whose name ends in ``_bytes`` is a size ("64KiB").
"""

from __future__ import annotations

import dataclasses
import difflib
import errno
import os
import re
import stat
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from ingestor.errors import ConfigError, UsageError

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LOADER = yaml.SafeLoader  # not libyaml's: a deeply nested file would overrun its stack
# Upper case only: nginx's own ${variables} in a log format are lower case.
_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")
_LIKE_A_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")  # $NAME, ${name}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.ASCII | re.IGNORECASE)
_QUOTED = re.compile(r"""'(?!<).{2,}'|".{2,}\"""")  # by the parser, but for single characters
_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")
}
_NULL = "tag:yaml.org,2002:null"  # nothing, ~ or null
_LONGEST = 100 * 366 * 86400.0  # seconds; more overflows a clock somewhere
_LARGEST = 1 << 63
_SHOWN = 200  # characters of a value in an error
_MAX_SECRET = 8192  # characters
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class _Size:
    """Stands for an int that is a number of bytes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: a file and its line, an environment variable, or a flag."""

    source: str
    line: int | None = None  # 1-based

    def __str__(self) -> str:
        """``config.yaml:12`` or ``INGESTOR_UMAMI_URL``."""
        return self.source if self.line is None else f"{self.source}:{self.line}"


class Reader:
    """Reads values of dotted keys from YAML nodes and remembers where each one stood."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.places: dict[str, Place] = {}
        self.secret_files: list[Path] = []  # that secrets were read from

    def compose(self, text: str, source: str) -> yaml.Node | None:
        """Parse YAML text into nodes; ``source`` names it in errors.

        Raises ConfigError where it is not YAML or holds more than one document.
        """
        try:
            return yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(source) if mark is None else self._place(source, mark)
            raise ConfigError(
                f"{place}: this is not valid YAML: {_unnamed(error.problem)}. Write values with "
                "any of * ! % @ : # { } [ ] in quotes, and indent with blanks, not tabs."
            ) from None
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"{source}: this is not valid YAML: {error}") from None

    def _place(self, source: str, mark: yaml.Mark) -> Place:
        """Where a mark is; a variable is not looked up by its lines."""
        return Place(source, None if source in self.environment else mark.line + 1)

    def table(self, node: yaml.Node, cls: type[Any], key: str, source: str) -> dict[str, Any]:
        """Read a mapping as keyword arguments for the dataclass ``cls``; every key is checked."""
        hints = get_type_hints(cls, include_extras=True)
        names = [f.name for f in dataclasses.fields(cls)]
        secret = secrets(cls)
        values: dict[str, Any] = {}
        for name, value_node, place in self.pairs(node, key, source):
            path = f"{key}.{name}" if key else name
            if name.removesuffix("_file") in secret and name not in names:
                name = name.removesuffix("_file")  # noqa: PLW2901 - the same, told in another way
                if name in values:
                    raise ConfigError(f"{place}: {path} and {name} are both set; keep one.")
                values[name] = self.secret(self.value(value_node, str, path, source), path, place)
                continue
            if name not in names:
                allowed = [*names, *(f"{each}_file" for each in secret)]
                raise ConfigError(f"{place}: {unknown('key', name, allowed, prefix=key)}")
            if name in values:
                raise ConfigError(f"{place}: {path} is set twice; keep one.")
            if name in secret:
                self._require_known(value_node, path, place)
            values[name] = self.value(value_node, hints[name], path, source)
        return values

    def pairs(self, node: yaml.Node, key: str, source: str) -> list[tuple[str, yaml.Node, Place]]:
        """Read the entries of a mapping node: key, value node, and where the key stands."""
        if not isinstance(node, yaml.MappingNode):
            place = self._place(source, node.start_mark)
            what = f"{key} has to be" if key else "the configuration has to be"
            kind = "one value" if isinstance(node, yaml.ScalarNode) else _kind(node)
            raise ConfigError(f"{place}: {what} a mapping of keys to values, not {kind}.")
        found = []
        for key_node, value_node in node.value:
            place = self._place(source, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{place}: a key has to be a word.")
            self.places[f"{key}.{key_node.value}" if key else key_node.value] = place
            found.append((key_node.value, value_node, place))
        return found

    def value(self, node: yaml.Node, hint: Any, key: str, source: str) -> Any:
        """Read one value as the type ``hint`` says; raises ConfigError naming place and key."""
        place = self._place(source, node.start_mark)
        self.places.setdefault(key, place)
        origin = get_origin(hint)
        if origin in (Union, types.UnionType):
            if isinstance(node, yaml.ScalarNode) and node.tag == _NULL:
                if type(None) in get_args(hint):
                    return None
                raise ConfigError(f"{place}: {key} may not be empty.")
            inner = [arg for arg in get_args(hint) if arg is not type(None)]
            return self.value(node, inner[0], key, source)
        if origin is tuple:
            return self.sequence(node, get_args(hint)[0], key, source)
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)  # noqa: S101 - a type hint, not an instance
            return self.build(hint, self.table(node, hint, key, source), key, place)
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _PLAIN_TAGS:
            raise ConfigError(f"{place}: {key} has to be {_wanted(hint)}, not {_kind(node)}.")
        if node.tag == _NULL and (hint is not str or key.endswith("]")):
            raise ConfigError(f"{place}: {key} is empty; give {_wanted(hint)} or leave it out.")
        if node.tag == _NULL:
            return ""
        hint = _Size if hint is int and key.endswith("_bytes") else hint
        return self._scalar(self._expand(node.value, key, place), hint, key, place)

    def build(self, cls: type[Any], values: Mapping[str, Any], key: str, place: Place) -> Any:
        """Make the dataclass; a missing required field is a ConfigError at ``place``."""
        for field in dataclasses.fields(cls):
            required = (
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            )
            if required and field.name not in values:
                raise ConfigError(f"{place}: {key}.{field.name} is missing; it has to be set.")
        try:
            return cls(**values)
        except UsageError as error:
            # "delivery.workers is 1 to 64": the line of the key that it names is the best place.
            named = str(error).split(" ", 1)[0]
            raise ConfigError(f"{self.places.get(named, place)}: {error}", key=named) from None

    def sequence(self, node: yaml.Node, hint: Any, key: str, source: str) -> tuple[Any, ...]:
        """Read a list whose members are of the type ``hint``."""
        if isinstance(node, yaml.SequenceNode):
            return tuple(
                self.value(inner, hint, f"{key}[{i}]", source) for i, inner in enumerate(node.value)
            )
        place = self._place(source, node.start_mark)
        told = isinstance(node, yaml.ScalarNode) and node.value and node.tag != _NULL
        if told and not dataclasses.is_dataclass(hint):
            parts = [node.value] if "re:" in node.value else re.split(r",\s*", node.value)
            listed = ", ".join(f'"{part}"' for part in (each.strip("\"'") for each in parts))
            raise ConfigError(f"{place}: {key} has to be a list: write [{listed}].")
        raise ConfigError(f"{place}: {key} has to be a list, not {_kind(node)}.")

    def secret(self, name: str, key: str, place: Place) -> str:
        """Read a secret from its file, without blanks around it. Raises ConfigError."""
        shown = name if "/" in name else "the file"  # perhaps it is the secret itself
        try:
            text = _text_of(name).strip()
        except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(
                f"{place}: {key}: {shown} cannot be read: {why}. "
                f"It has to be readable for the user {_user()}."
            ) from None
        if not text or len(text) > _MAX_SECRET or _CONTROL.search(text) is not None:
            raise ConfigError(
                f"{place}: {key}: {shown} holds no secret: it has to be one line of text, of up to "
                f"{_MAX_SECRET} characters."
            )
        self.secret_files.append(Path(name))
        return text

    def _require_known(self, node: yaml.Node, key: str, place: Place) -> None:
        """Raise ConfigError, without telling it, where a part of a secret looks like a variable."""
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        like = _LIKE_A_VARIABLE.fullmatch(text)
        meant = (like[1] or like[2]).upper() if like else ""
        if meant in self.environment and not _VARIABLE.fullmatch(text):
            raise ConfigError(
                f"{place}: {key} is no variable as it stands; write ${{{meant}}}. Where it is the "
                f"secret itself, write it into a file: {key}_file."
            )
        names = _VARIABLE.findall(text)
        if _VARIABLE.fullmatch(text) is None and any(n not in self.environment for n in names):
            raise ConfigError(
                f"{place}: {key} has a ${{…}} in it that is not set in the environment. Where it "
                f"is a part of the secret, write it into a file: {key}_file."
            )

    def _expand(self, text: str, key: str, place: Place) -> str:
        def variable(match: re.Match[str]) -> str:
            value = self.environment.get(match[1])
            if value is None:
                raise ConfigError(
                    f"{place}: {key} uses ${{{match[1]}}}, which is not set in the environment."
                )
            return value

        return _VARIABLE.sub(variable, text)

    def _scalar(self, text: str, hint: Any, key: str, place: Place) -> Any:
        if get_origin(hint) is Literal:
            if text not in get_args(hint):
                raise ConfigError(f"{place}: {unknown('value', text, get_args(hint), prefix=key)}")
            return text
        try:
            return _CONVERT[hint](text)
        except ValueError:
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            raise ConfigError(f"{place}: {key} has to be {_wanted(hint)}, not {shown!r}.") from None


def unknown(what: str, name: str, allowed: Sequence[str], *, prefix: str = "") -> str:
    """Say that ``name`` is not known, with the nearest right spelling or all of them."""
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.6)
    where = f" in {prefix}" if prefix else ""
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(map(str, allowed))}."
    return f"unknown {what} {name!r}{where}. {hint}"


def secrets(cls: type[Any]) -> list[str]:
    """Names of a dataclass's fields that are secrets: a file may hold them (``password_file``)."""
    return [f.name for f in dataclasses.fields(cls) if f.metadata.get("secret")]


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if node.tag not in _PLAIN_TAGS:
        return "a value with a tag (begin it with a quote, not with !)"
    return f"{node.value!r}" if node.value else "nothing"


def _text_of(name: str) -> str:
    """Read a regular file, and no more of it than a secret has; a FIFO would wait for ever."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, encoding="utf-8") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read(2 * _MAX_SECRET)


def _unnamed(problem: str | None) -> str:
    """What is wrong about some YAML, without its words: an unquoted password may be one."""
    return _QUOTED.sub("(not shown)", problem or "it cannot be read")


def _wanted(hint: Any) -> str:
    return _WANTED.get(hint, "another value")


def _bool(text: str) -> bool:
    try:
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}[
            text.lower()
        ]
    except KeyError:
        raise ValueError(text) from None


def seconds(text: str) -> float:
    """Read ``200ms``, ``60s``, ``5m``, ``2h``, ``1d`` or plain seconds; raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    found = float(match[1]) * _SECONDS[match[2] or "s"]
    if found > _LONGEST:
        raise ValueError(text)
    return found


def size(text: str) -> int:
    """Read ``64KiB``, ``10MB``, ``1G`` or plain bytes; raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    power = " KMGT".index(match[2].upper() or " ")
    found = float(match[1]) * (1024 if match[3] else 1000) ** power
    if found >= _LARGEST:
        raise ValueError(text)
    return int(found)


def whole(text: str) -> int:
    """Read a whole number that SQLite and C can hold; raises ValueError."""
    number = int(text)
    if abs(number) >= _LARGEST:
        raise ValueError(text)
    return number


def _user() -> str:
    import pwd  # noqa: PLC0415 - only for this message

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


_CONVERT: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: whole,
    float: seconds,
    bool: _bool,
    Path: Path,
    _Size: size,
}
_WANTED: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a duration such as 200ms, 60s, 5m, 2h or 1d",
    bool: "true or false",
    Path: "a path",
    _Size: "a size such as 64KiB or 10MB",
}
