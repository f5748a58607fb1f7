"""Benchmarks: one timing protocol, and one file per subject of ``res2net bench``.

A subject's file has ``run(options, track)``, which returns a ``Measurement``, and the ``COLUMNS``
for the terminal; its options are in ``options.py``.
"""
