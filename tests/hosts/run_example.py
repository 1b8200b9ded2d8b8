#!/usr/bin/env python3
"""Runs an example in Python: run_example.py PROGRAM. Exit code 77: there is no numpy."""
import importlib.util
import runpy
import sys

if importlib.util.find_spec("numpy") is None:
    print("skipped: there is no numpy")
    sys.exit(77)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
