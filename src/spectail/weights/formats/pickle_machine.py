"""Pickles of strangers, read without anything of theirs being made or run: containers, plain values, and stand-ins.

A pickle is a program for a machine with a stack. Here it is taken step by step, and where the program names a class or
a function, calls it, or hands it a state, there is a `StandIn` that notes what was asked for. What a stand-in means,
such as a tensor, is for others to say.

Here: the steps. Not here: which files have pickles (`pickles`), what one says of tensors (`pickled_tensors`), where in
it the weights lie (`state_dict`).

Source: https://github.com/python/cpython/blob/main/Lib/pickletools.py, which describes every step.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from spectail.errors import SourceError

MOST_STEPS = 12_000_000
"""Of one pickle: that of half a million tensors takes fewer, and what so many steps make fits into memory."""

_AT_A_TIME = 2**24  # bytes

LARGEST_KEY = 16
"""Entries that a tuple may have as a key, none of them a tuple: hashing one nested deep would end the process."""


@dataclass(eq=False, slots=True)
class StandIn:
    """What a pickle wanted made, and was not: a class or function by name, or what came of calling one.

    Attributes:
        name: "module.name" of the class or function.
        arguments: that it was called with; None where it was only named.
        keywords: … by name.
        state: what it was handed after it was made, such as its `__dict__`.
        entries: what was put into it as into a dict.
        items: what was put into it as into a list or set.
    """

    name: str
    arguments: tuple[Any, ...] | None = None
    keywords: dict[Any, Any] | None = None
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)

    @property
    def called(self) -> bool:
        """Whether it stands for a call, not for a class or function alone."""
        return self.arguments is not None


@dataclass(frozen=True, slots=True)
class Persistent:
    """What lies outside of the pickle, by the name that the pickle has for it."""

    name: Any


class _Mark:
    pass


class PickleError(SourceError):
    """A pickle that is damaged, or asks for more than one of weights does."""


def read_pickle(stream: Any, *, most_steps: int = MOST_STEPS, names: dict[str, bool] | None = None) -> Any:
    """What a pickle holds; the stream is then behind it.

    Args:
        stream: a binary file, at its beginning.
        most_steps: past which it is refused.
        names: where every class and function that it names is put, in their order, with whether it was called.

    Returns:
        None, numbers, strings, bytes, lists, tuples, dicts and sets as they are, all else as `StandIn`.

    Raises:
        PickleError: it is damaged, ends too early, or has more steps than that of any model.

    >>> import io, pickle, fractions
    >>> value = read_pickle(io.BytesIO(pickle.dumps({"a": [1, (2.5, None)], "b": fractions.Fraction(1, 2)})))
    >>> value["a"], value["b"].name
    ([1, (2.5, None)], 'fractions.Fraction')
    """
    machine, source = _Machine({} if names is None else names), cast(Any, _InParts(stream))
    try:
        with warnings.catch_warnings(action="ignore"):  # an odd escape in a text of somebody else's
            return _run(machine, pickletools.genops(source), most_steps)
    except PickleError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, EOFError) as error:
        if "exhausted before" in str(error) or isinstance(error, EOFError):
            raise PickleError("its pickle ends too early") from None
        raise PickleError(f"its pickle is damaged: {str(error)[:120] or type(error).__name__}") from None


def _run(machine: _Machine, steps: Iterable[tuple[Any, Any, Any]], most_steps: int) -> Any:
    """What is on the stack when the program stops."""
    for count, (opcode, argument, _) in enumerate(steps):
        if count >= most_steps:
            raise PickleError(f"its pickle has more than {most_steps} steps, more than that of any model")
        if opcode.name == "STOP":
            return machine.pop()
        step = _STEPS.get(opcode.name)
        if step is None:
            raise PickleError(f"its pickle uses {opcode.name}, which torch.save never does")
        step(machine, argument)
    raise PickleError("its pickle ends too early")


class _InParts:
    """Reads no more at a time than there is, however much a pickle says."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.readline = stream, stream.readline

    def read(self, count: int) -> bytes:
        if count <= _AT_A_TIME:
            return self._stream.read(count)  # type: ignore[no-any-return]
        parts = []
        while count > 0 and (part := self._stream.read(min(count, _AT_A_TIME))):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


class _Machine:
    """The stack of a pickle's program, and its memory."""

    def __init__(self, names: dict[str, bool]) -> None:
        self.names = names
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _Mark:
            raise ValueError("a mark where a value should be")
        return value

    def pop_to_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _Mark:  # an index below 0 would count from the top again
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def top(self) -> Any:
        if self.stack[-1] is _Mark:
            raise ValueError("a mark where a value should be")
        return self.stack[-1]

    def memoize(self, key: int) -> None:
        self.memory[key] = self.top()

    # what is made of values

    def call(self, function: Any, arguments: Any, keywords: Any = None) -> None:
        if not isinstance(function, StandIn) or not isinstance(arguments, tuple):
            raise ValueError("a call of what is no function")
        result = StandIn(function.name, arguments, keywords or None)
        if function.called:  # what a call returned is called: its name says both
            result.name = f"{function.name}()"
        else:
            self.names[function.name] = True
        self.push(result)

    def build(self, state: Any) -> None:
        target = self.top()
        if not isinstance(target, StandIn):
            raise ValueError("a state for what has none")
        target.state = state

    def set_items(self, pairs: list[Any]) -> None:
        target = self.top()
        if len(pairs) % 2:
            raise ValueError("a key without its value")
        entries = target.entries if isinstance(target, StandIn) else target
        if not isinstance(entries, dict):
            raise ValueError("an entry for what is no dict")
        for key, value in _pairs(pairs):
            entries[key] = value

    def extend(self, values: list[Any]) -> None:
        target = self.top()
        items = target.items if isinstance(target, StandIn) else target
        if isinstance(items, set):
            items.update(map(_checked_key, values))
        elif isinstance(items, list):
            items.extend(values)
        else:
            raise ValueError("an item for what is no list")


def _pairs(values: list[Any]) -> Iterator[tuple[Any, Any]]:
    for at in range(0, len(values), 2):
        yield _checked_key(values[at]), values[at + 1]


def _checked_key(key: Any) -> Any:
    flat = key if isinstance(key, tuple) else (key,)
    plain = (str, int, float, bool, bytes, type(None), StandIn, Persistent)
    if len(flat) > LARGEST_KEY or not all(isinstance(one, plain) for one in flat):
        raise ValueError(f"a {type(key).__name__} as a key")
    return key


_Step = Callable[[_Machine, Any], object]


def _named(machine: _Machine, name: str) -> None:
    machine.names.setdefault(name, False)
    machine.push(StandIn(name))


def _global(machine: _Machine, argument: str) -> None:
    _named(machine, argument.replace(" ", ".", 1))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise ValueError("a class without a name")
    _named(machine, f"{module}.{name}")


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.call(function, arguments)


def _new_with_keywords(machine: _Machine, _: Any) -> None:
    keywords, arguments, kind = machine.pop(), machine.pop(), machine.pop()
    if not isinstance(keywords, dict):
        raise ValueError("keywords that are no dict")
    machine.call(kind, arguments, keywords)


def _object(machine: _Machine, _: Any) -> None:
    kind, *arguments = machine.pop_to_mark()
    machine.call(kind, tuple(arguments))


def _instance(machine: _Machine, argument: str) -> None:
    arguments = machine.pop_to_mark()
    _global(machine, argument)
    machine.call(machine.pop(), tuple(arguments))


def _dict(machine: _Machine, _: Any) -> None:
    pairs = machine.pop_to_mark()
    machine.push({})
    machine.set_items(pairs)


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def _append(machine: _Machine, _: Any) -> None:
    value = machine.pop()
    machine.extend([value])


def _pop(machine: _Machine, _: Any) -> None:
    machine.stack.pop()


def _tuple_of(count: int) -> _Step:
    def step(machine: _Machine, _: Any) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(values)))

    return step


def _persistent(machine: _Machine, _: Any) -> None:
    name = machine.pop()
    if isinstance(name, tuple) and len(name) > 1 and name[0] == "module" and isinstance(name[1], StandIn):
        machine.push(name[1])  # an old way to keep a class beside its source code
    else:
        machine.push(Persistent(name))


def _value(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


_VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)

_STEPS: dict[str, _Step] = {
    **dict.fromkeys(_VALUES, _value),
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": lambda machine, _: machine.push(_Mark),
    "POP": _pop,
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.push(machine.top()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "FROZENSET": lambda machine, _: machine.push(frozenset(map(_checked_key, machine.pop_to_mark()))),
    "DICT": _dict,
    "APPEND": _append,
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, key: machine.memoize(key)),
    "MEMOIZE": lambda machine, _: machine.memoize(len(machine.memory)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, key: machine.push(machine.memory[key])),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda machine, code: _named(machine, f"copyreg.extension{code}")),
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_with_keywords,
    "OBJ": _object,
    "INST": _instance,
    "BUILD": lambda machine, _: machine.build(machine.pop()),
    "PERSID": lambda machine, name: machine.push(Persistent(name)),
    "BINPERSID": _persistent,
}
