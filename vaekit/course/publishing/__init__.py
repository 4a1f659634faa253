"""Notebooks made from scripts: lessons, exercises and their solutions, a class directory for nbgrader."""
