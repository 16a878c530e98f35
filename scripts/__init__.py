"""Scripts for contributors; the Makefile calls them."""
