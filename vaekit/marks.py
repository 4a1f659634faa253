"""The tokens that are no words, and their numbers, for all that reads and writes sentences."""

MARKS = ("<pad>", "<unk>", "<s>", "</s>")
PADDING, UNKNOWN, START, END = range(4)
