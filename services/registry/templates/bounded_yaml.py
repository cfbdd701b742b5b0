"""YAML that somebody else wrote: plain values only, bounded in size, depth and number, no aliases, no key twice."""

from collections.abc import Callable, Iterator
from typing import Any

import yaml
from yaml import CSafeLoader

MOST_BYTES = 1024 * 1024
"""Of one document."""

MOST_NODES = 50_000
"""Values of one document."""

DEEPEST = 64
"""Levels of one document."""

INCLUDE = "!include"
"""The tag by which one document takes in another."""

Included = Callable[[str], Any]
"""What stands behind the path of an include."""


class BadDocument(Exception):
    """It cannot be read; the text is one line for whoever wrote it, and quotes nothing but marks and names."""


def read(content: bytes, included: Included | None = None) -> Any:  # noqa: ANN401 - somebody else's YAML
    """The value of a document; raises `BadDocument`. Includes are refused where nobody says what they stand for."""
    text = _text(content)
    try:
        _measure(text)
        return _loaded(text, included)
    except yaml.MarkedYAMLError as error:
        raise BadDocument(_marked(error)) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        raise BadDocument("not readable YAML") from None


class _Loader(CSafeLoader):
    """The safe loader, and includes."""

    included: Included | None = None

    def mapping(self, node: yaml.Node) -> Iterator[dict[Any, Any]]:
        """A mapping, empty at first: what it holds comes when its parts are there."""
        made: dict[Any, Any] = {}
        yield made
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            made.update(self.construct_mapping(node))

    def include(self, node: yaml.Node) -> Any:  # noqa: ANN401 - whatever the other document holds
        """What another document holds."""
        if self.included is None:
            raise BadDocument(f"{_line(node.start_mark)}!include is not possible here")
        if not isinstance(node, yaml.ScalarNode):
            raise BadDocument(f"{_line(node.start_mark)}!include takes a path")
        return self.included(str(node.value))


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)
_Loader.add_constructor(INCLUDE, _Loader.include)


def _text(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise BadDocument(f"more than {MOST_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadDocument("not UTF-8") from None


def _measure(text: str) -> None:
    """See how big it is before anything is built of it: an alias can make much of little."""
    nodes = depth = 0
    for event in yaml.parse(text, Loader=CSafeLoader):
        match event:
            case yaml.AliasEvent():
                raise BadDocument(f"{_line(event.start_mark)}aliases are not possible here")
            case yaml.CollectionStartEvent():
                nodes, depth = nodes + 1, depth + 1
            case yaml.CollectionEndEvent():
                depth -= 1
            case yaml.ScalarEvent():
                nodes += 1
        if depth > DEEPEST:
            raise BadDocument(f"more than {DEEPEST} levels")
        if nodes > MOST_NODES:
            raise BadDocument(f"more than {MOST_NODES} values")


def _loaded(text: str, included: Included | None) -> Any:  # noqa: ANN401 - somebody else's YAML
    loader = _Loader(text)
    loader.included = included
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        named = (key.tag, str(key.value))
        if named in seen:
            raise BadDocument(f"{_line(key.start_mark)}{str(key.value)[:50]} is there twice")
        seen.add(named)


def _marked(error: yaml.MarkedYAMLError) -> str:
    return f"{_line(error.problem_mark)}{(error.problem or 'not readable YAML')[:200]}"


def _line(mark: Any) -> str:  # noqa: ANN401 - the parser has two kinds of marks
    return f"line {mark.line + 1}: " if mark else ""
