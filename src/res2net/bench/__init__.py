"""Measured speed: one timing protocol, and a file a subject of ``res2net bench``.

A subject's file has ``run(options, track)``, which gives a ``Measurement``, and the ``COLUMNS``
that a terminal shows; its options stand in ``options.py``.
"""
