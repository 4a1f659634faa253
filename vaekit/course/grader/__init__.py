"""`vaekit grade`: the code of a notebook runs shut in, the marks are given outside."""
