# Written by generate.py from ../_async/__init__.py. Change that file.
"""The classes and functions of ``longshore``.

``crates/python/generate.py`` writes the package ``_sync`` from these files. Only ``_running.py`` and
``_blob.py`` are written twice by hand.
"""
