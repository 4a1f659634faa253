"""Lays out what Sphinx builds the website of, in a folder whose files lie as in the repository: `make site`.

Lessons and exercises are the committed notebooks, with links to the names they use; pages on names and papers are
generated; pages of the site alone stand in `site/pages`, where `{README: Heading}` is a section of README.md. Refuses
public names without a docstring, and links that lead nowhere.
"""

import base64
import json
import re
import shutil
import sys
from pathlib import Path

from papers import paper_pages
from reference import ROOT, Reference, relative, sentence, toctree

PAGES = (
    *("CONTRIBUTING.md", "SPEED.md", "benchmarks/README.md", "results/README.md", "exercises/README.md"),
    *("grading/README.md", "vaekit/course/grader/README.md"),
)
NOTEBOOKS = ("lessons/*.ipynb", "exercises/*/*.ipynb", "gallery/*.ipynb")
KIND = {"lessons": "lesson", "exercises": "exercise", "gallery": "recipe"}
QUIZ = re.compile(r"quiz\.(ask|discuss)\(.*\)\s*")
LINK = re.compile(r"(?<!`)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


def stage(folder, root=ROOT, results=True):
    """Writes all pages into a folder, and the files that they link to.

    Args:
        folder: to be made anew.
        results: whether pages of papers are written, which import vaekit.

    Returns: list of what is wrong, texts.
    """
    reference, folder = Reference(root), Path(folder)
    wrong = [f"vaekit.{path} has no docstring" for path in reference.undocumented()]
    texts = {page: (root / page).read_text(encoding="utf-8") for page in PAGES}
    for path in sorted(root.glob("exercises/instructors/*.md")):
        texts[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8")
    below = [
        relative(page, "exercises/README.md")
        for page in texts
        if "/instructors/" in page or "gradi" in page or "grader" in page
    ]
    texts["exercises/README.md"] += "\n" + "\n".join(toctree(below))
    books = {p.relative_to(root).as_posix(): json.loads(p.read_text(encoding="utf-8")) for p in _notebooks(root)}
    for page, book in books.items():
        _names(page, book, reference)
    for page, book in books.items():
        texts[page] = json.dumps(_notebook(page, book, reference), ensure_ascii=False)
    texts["api/index.md"] = reference.index()
    for room in reference.modules:
        if not room.startswith("papers."):
            texts[f"api/{room or 'top'}/index.md"] = reference.room(room)
    for name in reference.names.values():
        if "#" not in name.page:
            texts[name.page] = reference.page(name)
    texts |= paper_pages(reference, root) if results else {}
    readme = (root / "README.md").read_text(encoding="utf-8")
    for path in sorted((root / "site" / "pages").rglob("*.md")):
        page = path.relative_to(root / "site" / "pages").as_posix()
        texts[page] = _page(page, path.read_text(encoding="utf-8"), readme, texts, reference)
    files, broken = _linked(texts, root)
    if folder.exists():
        shutil.rmtree(folder)
    for page, text in texts.items():
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_bytes(text if isinstance(text, bytes) else text.encode())
    for file, place in files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / file, folder / place)
    return wrong + broken


def _notebooks(root):
    return [path for pattern in NOTEBOOKS for path in sorted(root.glob(pattern))]


def title(book):
    return re.match(r"# (.+)", "".join(book["cells"][0]["source"]))[1].strip()


def _names(page, book, reference):
    """Notes for each public name that a notebook uses that it does."""
    label = f"{KIND[page.split('/')[0]]} {title(book)}"
    code = "\n".join("".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code")
    for name in reference.used(code):
        name.used[page] = label


def _notebook(page, book, reference):
    """A notebook as a page: a button for its file, names linked, questions without their code, pictures described."""
    cells, seen, heading = book["cells"], set(), ""
    names = [n for n in reference.names.values() if page in n.used and not n.path.startswith("course.")]
    for i, cell in enumerate(cells):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = ([heading] + re.findall(r"^#+ (.+)$", text, re.M))[-1]
            cell["source"] = reference.link(text, page, seen, names)
            continue
        tags = cell["metadata"].setdefault("tags", [])
        if QUIZ.fullmatch(text):
            tags.append("remove-input")
            for output in cell["outputs"]:
                said = "".join(output.get("data", {}).get("text/markdown", ""))
                said = re.sub(
                    r"You have not answered .*? Show the discussion all the same\.", "The answer, and why.", said
                )
                output["data"]["text/markdown"] = said
        alt = cell["metadata"].get("alt")  # a recipe's picture has one
        following = next((c for c in cells[i + 1 :] if c["cell_type"] == "markdown"), None)
        cell["metadata"]["mystnb"] = {"image": {"alt": alt or _alternative(text, heading, following)}}
    first = "".join(cells[0]["source"]).split("\n", 1)
    kind, file = KIND[page.split("/")[0]], relative(f"notebooks/{page}", page)
    button = f"[Download this {kind} as a notebook](path:{file}){{.button}}"
    cells[0]["source"] = f"{first[0]}\n\n{button}\n{first[1] if first[1:] else ''}"
    if names:
        links = " · ".join(f"[`{name.path}`]({relative(name.page, page)})" for name in names)
        text = f"---\n\n**Names used here**\n\n{links}"
        cells.append({"cell_type": "markdown", "metadata": {}, "id": "names-used-here", "source": text})
    return book


def _alternative(code, heading, following):
    """What a picture shows, for those who do not see it: where it stands, what its axes say, and what is said of it."""
    labels = dict.fromkeys(re.findall(r'(?:title|[xy]label)(?:=|\()f?"([^"{}]+)"', code))
    labels = plain("; ".join(label.replace("\\n", " ") for label in labels))
    said = plain("".join(following["source"])) if following else ""
    said = (re.match(r".{0,240}\.(?= |$)", said) or re.match(r".{0,200}", said))[0]
    return f"Figure in “{plain(heading)}”{': ' if labels else ''}{labels}. {said}".strip()


def plain(markdown):
    """Markdown without its marks: what an alternative text can say."""
    text = re.sub(r"^(#+ .*|\s*[-*] )$", "", markdown, flags=re.M)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("**", "").replace("`", "").replace("*", "")
    text = re.sub(r"\\(mathcal|mathbb|mathrm|text|big|Big|left|right|,|;|!)\s*", "", text)
    return " ".join(re.sub(r"\\([A-Za-z]+)", r"\1", text.replace("$", "")).split())


def _page(page, text, readme, texts, reference):
    """A page of the site alone: sections of README, pages of a kind by name or as a list of titles."""

    def section(match):
        found = re.search(rf"^## {re.escape(match[1])}\n(.*?)(?=^## |\Z)", readme, re.M | re.S)
        if not found:
            raise ValueError(f"site/pages/{page}: README.md has no section {match[1]!r}.")
        return reference.link(re.sub(r"<!--.*?-->\n?", "", found[1]).strip(), page)

    def pages(match):
        return [p for p in texts if Path(p).match(match[1])]

    text = re.sub(r"^\{README: (.+)\}$", section, text, flags=re.M)
    text = re.sub(
        r"^\{pages: (.+)\}$", lambda match: "\n".join(relative(p, page) for p in pages(match)), text, flags=re.M
    )

    def listed(match):
        titles = {p: re.search(r"^# (.+)", _prose(p, texts[p]), re.M)[1] for p in pages(match)}
        return "\n".join(f"- [{title}]({relative(p, page)})" for p, title in titles.items())

    def cards(match):
        return "\n".join(_card(p, json.loads(texts[p]), texts, page) for p in pages(match))

    text = re.sub(r"^\{cards: (.+)\}$", cards, text, flags=re.M)
    return re.sub(r"^\{list: (.+)\}$", listed, text, flags=re.M)


def _card(page, book, texts, here):
    """A notebook's title, its last picture, and its first sentence, as one of the page `here` shows them."""
    shown = [(cell, out["data"]["image/png"]) for cell in book["cells"] for out in cell.get("outputs", ())
             if "image/png" in out.get("data", {})]  # fmt: skip
    picture = ""
    if shown:
        cell, png = shown[-1]
        file = page.replace(".ipynb", ".png")
        texts[file] = base64.b64decode("".join(png))
        picture = f"![{cell['metadata']['mystnb']['image']['alt']}]({relative(file, here)})"
    said = next(part for part in "".join(book["cells"][0]["source"]).split("\n\n")[1:] if "{.button}" not in part)
    head = f":::{{container}} door\n**[{title(book)}]({relative(page, here)})**\n\n"
    return f"{head}{picture}\n\n{sentence(said)}\n:::"


def _prose(page, text):
    """What of a page is Markdown."""
    if isinstance(text, bytes):
        return ""
    if page.endswith(".md"):
        return text
    return "\n\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")


def slug(heading):
    """The anchor of a heading, as MyST and GitHub make it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def _linked(texts, root):
    """Finds what pages link to: dict of the repository's files and their places; list of links that lead nowhere."""
    files, broken, anchors = {}, [], {}
    for page, text in texts.items():
        prose = re.sub(r"^ *(```+|~~~+).*?^ *\1", "", _prose(page, text), flags=re.M | re.S)
        anchors[page] = {slug(heading) for heading in re.findall(r"^#+ (.+)$", prose, re.M)}
    for page, text in texts.items():
        prose = _prose(page, text)
        targets = re.findall(r"^```\{literalinclude\} (.+)$", prose, re.M)
        targets += [
            target
            for target in LINK.findall(re.sub(r"^ *```.*?^ *```|`[^`\n]*`|\$[^$]*\$", "x", prose, flags=re.M | re.S))
        ]
        for target in targets:
            if re.match(r"(?!path:)[a-z]+:", target):
                continue
            path, _, anchor = target.removeprefix("path:").partition("#")
            parts = [*page.split("/")[:-1], *path.split("/")] if path else page.split("/")
            place = []
            for part in parts:
                place = place[:-1] if part == ".." else place + [part] * (part not in ("", "."))
            place = "/".join(place)
            file = place.removeprefix("notebooks/")
            if place in texts:
                if anchor and anchor not in anchors[place]:
                    broken.append(f"{page}: {target} names no heading of {place}")
            elif (root / file).is_file() and not file.endswith(".md"):
                files[file] = place
            else:
                why = "is no page of the site: see PAGES" if (root / file).is_file() else "leads nowhere"
                broken.append(f"{page}: {target} {why}")
    return files, broken


if __name__ == "__main__":
    faults = stage(sys.argv[1])
    print("\n".join(faults), file=sys.stderr)
    sys.exit(bool(faults))
