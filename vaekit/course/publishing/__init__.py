"""Notebooks made from their sources: lessons, exercises and solutions, a class directory for nbgrader."""
