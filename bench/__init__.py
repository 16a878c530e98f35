"""Benchmarks: how far from the floor, side by side in one run, against the emulator. `python -m bench` runs them."""
