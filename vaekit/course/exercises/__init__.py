"""The exercises' questions, a file each: `e01.py` belongs to lesson 01. Graded code is kept from reading these."""
