"""Terminal: what commands show while they work and when they are done, a module for each thing that they do.

Which command there is, with which options, is in `cli`; what is worked out is in the core. Add here only what a person
reads. Nothing here imports Dagster at its top, so that `status` answers at once.
"""
