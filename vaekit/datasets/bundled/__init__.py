"""Data files that come with vaekit, each with its licence and the program that makes it."""
