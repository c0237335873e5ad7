"""Runs the Python code that a test sends, and replies with its value or its exception.

A request is a line of JSON on standard input: {"run": statements} or {"ask": expression}. Both may contain `await`. The
reply is a line on standard output: {"gave": value} or {"raised": {...}}.
"""

import ast
import asyncio
import collections.abc
import dataclasses
import faulthandler
import inspect
import json
import logging
import sys

# Seconds. If code takes longer, the interpreter prints a traceback and ends.
LIMIT = 60


def plain(value):
    """Converts a value for JSON: bytes to one character per byte, iterators to lists, sets to sorted lists."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, collections.abc.Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=json.dumps)
    if isinstance(value, (list, tuple, collections.abc.Iterator)):
        return [plain(item) for item in value]
    return str(value)


def status(error):
    """Returns the status of the reply that caused an exception. Each library stores it under another name."""
    reply = getattr(error, "response", None)
    found = (getattr(error, "status", None), getattr(error, "status_code", None), getattr(reply, "status_code", None))
    return next((number for number in found if isinstance(number, int)), None)


def evaluate(source, mode, space, loop):
    code = compile(source, "<test>", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = eval(code, space)
    return loop.run_until_complete(value) if code.co_flags & inspect.CO_COROUTINE else value


def answer(request, space, loop):
    try:
        if "run" in request:
            evaluate(request["run"], "exec", space, loop)
            return {"gave": None}
        return {"gave": plain(evaluate(request["ask"], "eval", space, loop))}
    except Exception as error:
        classes = [kind.__name__ for kind in type(error).__mro__]
        return {"raised": {"classes": classes, "status": status(error), "message": str(error)}}


def main():
    # The output of the libraries must not be mixed with the replies.
    answers, sys.stdout = sys.stdout, sys.stderr
    logging.disable(logging.CRITICAL)
    space, loop = {}, asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    for line in sys.stdin:
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        print(json.dumps(answer(json.loads(line), space, loop)), file=answers, flush=True)
        faulthandler.cancel_dump_traceback_later()


main()
