"""The classes and functions of ``longshore.aio``.

``crates/python/generate.py`` writes the package ``_sync`` from these files. Only ``_running.py`` and
``_blob.py`` are written twice by hand.
"""
