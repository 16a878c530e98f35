"""CLI: what commands show while they work and when they are done; a module for each command, and what they share.

Commands and their options are in the three `*_commands` modules; `main` runs them. The results come from the core. Add
here only what a person reads. Modules that import Dagster are imported by the command that needs them, so that `status`
responds at once.
"""
