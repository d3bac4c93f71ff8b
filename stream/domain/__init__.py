"""The rules, without IO: scores, windows, follow-ups and the fold. Imports the standard library and `schemas`."""
