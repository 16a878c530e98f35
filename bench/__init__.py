"""Benchmarks against the emulator: the project and a bare-minimum program (the floor), measured side by side.

`python -m bench` runs the main ones.
"""
