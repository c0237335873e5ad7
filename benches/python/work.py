"""Runs one task of the benchmark with one client: ``work.py CLIENT TASK ARGUMENT...``.

Prints a JSON document: ``seconds``, the time of the call, without the start of the interpreter and
the imports; and ``done``, what the call achieved, with which the benchmark checks it. The module
``with_CLIENT`` has a function for each task that the client supports:

- ``list_tags(registry, repository)`` returns the number of tags.
- ``pull(registry, repository, digest, path)`` writes a blob to a file, and returns its size.
- ``push(registry, repository, path)`` sends a file, and returns the digest of the blob.
- ``read_images(registry, repository, count)`` reads the manifests and the configurations of the tags
  ``t000``, ``t001`` …, and returns their number.
- ``copy_images(source, target, repository, count)`` copies these tags to another registry, and
  returns their number.

``exit(3)`` says that the client does not support the task.
"""

import importlib
import json
import sys
import time


def main(client, task, *arguments):
    module = importlib.import_module(f"with_{client}")
    work = getattr(module, task, None)
    if work is None:
        sys.exit(3)
    start = time.perf_counter()
    done = work(*arguments)
    print(json.dumps({"seconds": time.perf_counter() - start, "done": str(done)}))


def tags(count):
    return [f"t{n:03}" for n in range(int(count))]


if __name__ == "__main__":
    main(*sys.argv[1:])
