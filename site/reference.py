"""The public names of vaekit, read from its files by griffe (nothing is imported), and a page for each of them."""

import ast
import inspect
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
COURSE = {  # what lessons and exercises import of it
    "course": ("check_setup", "epochs", "holds"),
    "course.quiz": ("Quiz",),
    "course.show": ("explore",),
    "course.exercise": ("Exercise",),
    "course.gauntlet": ("admit", "Patient", "Chart"),
}
SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Source):(?: (.*))?$")
HEADINGS = {"Args": "Argument | Meaning", "Attributes": "Attribute | Meaning", "Raises": "Raises | When"}
# what is left as it is when names are linked: code blocks, headings, formulas, links and pictures; then a span of code
PIECES = re.compile(
    r"(^ *```.*?^ *```|^#.*?$|<[^>\n]+>|\$\$.*?\$\$|\$[^$\n]+\$|!?\[[^\]]*\]\([^)]*\))|(?<!`)`([^`\n]+)`(?!`)",
    re.S | re.M,
)


@dataclass
class Name:
    """A public name: where users find it, what griffe found there, its page, and the notebooks that use it."""

    path: str  # layers.Masked
    thing: griffe.Object
    page: str  # api/layers/Masked.md
    used: dict = field(default_factory=dict)  # page of a notebook: its title

    @property
    def name(self):
        return self.path.rpartition(".")[2]

    @property
    def first(self):
        """The first sentence of its docstring."""
        return sentence(documentation(self.thing))

    @cached_property
    def bases(self):
        """Those of vaekit from which a class inherits, nearest first."""
        try:
            return [base for base in self.thing.mro() if base.path.startswith("vaekit.")] if self.thing.is_class else []
        except ValueError:
            return []

    @property
    def file(self):
        return self.thing.filepath.relative_to(ROOT).as_posix()


class Reference:
    """All public names, and where a text means one of them."""

    def __init__(self, root=ROOT):
        self.root = root
        self.package = griffe.load("vaekit", search_paths=[str(root)], allow_inspection=False)
        top = exported(self.package)
        papers = [f"papers.{paper}" for paper in exported(self.package["papers"])]
        papers += [
            f"{paper}.{part}" for paper in papers for part in ("text", "video") if part in self._module(paper).members
        ]
        rooms = [name for name in top if self._is_module(name) and name != "papers"]
        self.modules = {room: self._module(room) for room in ["", *rooms, *papers, *COURSE]}
        self.names, seen = {}, set()
        for room, module in self.modules.items():
            for name in COURSE.get(room) or exported(module):
                thing = target(module.members[name])
                if thing.is_module or room and thing.path in seen and room not in ("layers", "models"):
                    continue
                seen.add(thing.path)
                folder = f"api/{room or 'top'}"
                page = f"papers/{room[7:]}.md#{name.lower()}" if room.startswith("papers.") else f"{folder}/{name}.md"
                taken = {other.page.lower() for other in self.names.values()}
                if page.lower() in taken:  # FID and fid, where files' names have no case
                    page = page.replace(".md", "-function.md")
                path = f"{room}.{name}" if room else name
                self.names[path] = Name(path, thing, page)
        for path in [p for p in self.names if p.startswith("models.") and p[7:] in self.names]:
            del self.names[path]  # vk.VAE is its usual name
        self._short = {}
        for path, name in self.names.items():
            if not path.startswith(("papers.", "course.")):
                self._short.setdefault(name.name, []).append(name)

    def _module(self, path):
        return self.package[path] if path else self.package

    def _is_module(self, name):
        return target(self.package.members[name]).is_module

    def undocumented(self):
        """Lists paths of public names, and of their methods' arguments' sections, that say nothing."""
        return [path for path, name in self.names.items() if not name.thing.docstring]

    def find(self, text, among=()):
        """The name that a piece of code such as `vk.layers.Masked` means, or None; short ones mean those `among`."""
        text = re.sub(r"^(vk|vaekit)\.", "", re.sub(r"\(.*\)$", "", text.strip(), flags=re.S))
        if text in self.names:
            return self.names[text] if "." in text or text[0].isupper() else None
        if text.startswith("models.") and text[7:] in self.names:
            return self.names[text[7:]]
        some = [name for name in self._short.get(text, ()) if text[:1].isupper() or name in among]
        return some[0] if len(some) == 1 else None

    def link(self, markdown, page, seen=None, among=()):
        """Links the names in a text; with `seen`, a set, each of them once, and not again."""

        def one(match):
            name = match[2] and self.find(match[2], among)
            if not name or name.page.partition("#")[0] == page or seen is not None and name.path in seen:
                return match[0]
            if seen is not None:
                seen.add(name.path)
            return f"[`{match[2]}`]({relative(name.page, page)})"

        return PIECES.sub(one, markdown)

    def used(self, code):
        """Public names that code of a notebook uses, by attributes of `vk` and by imports."""
        code = re.sub(r"^\s*[%!].*$", "", code, flags=re.M)
        found, modules = [], {"vk": "", "vaekit": ""}
        for node in sorted(ast.walk(ast.parse(code)), key=lambda node: getattr(node, "lineno", 0)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vaekit":
                room = node.module.partition(".")[2]
                for alias in node.names:
                    found.append(f"{room}.{alias.name}".strip("."))
                    modules[alias.asname or alias.name] = found[-1]
            elif isinstance(node, ast.Attribute):
                chain = ast.unparse(node)
                first, _, rest = chain.partition(".")
                if first in modules:
                    found.append(f"{modules[first]}.{rest}".strip("."))
        found = [path.removeprefix("models.") if path[7:] in self.names else path for path in found]
        return [self.names[path] for path in dict.fromkeys(found) if path in self.names]

    # ---- pages

    def page(self, name):
        """The page of a name, in Markdown."""
        room, _, short = name.path.rpartition(".")
        module = f"vaekit.{room}" if room else "vaekit"
        lines = [f"# {short}", "", *self.signature(name.thing, f"{module}.{short}"), ""]
        kin = [self._of(base) for base in name.bases]
        if any(kin):
            lines += [f"A kind of {', '.join(f'[`{b.name}`]({relative(b.page, name.page)})' for b in kin if b)}.", ""]
        lines += [self.docstring(documentation(name.thing), name.page)]
        if name.thing.is_class:
            lines += self._methods(name, f"{module}.{short}")
        if name.used:
            links = ", ".join(f"[{title}]({relative(page, name.page)})" for page, title in name.used.items())
            lines += ["", f"**Used in** {links}.", ""]
        return "\n".join([*lines, *source(name.thing, name.page)])

    def _of(self, thing):
        return next((name for name in self.names.values() if name.thing.path == thing.path), None)

    def signature(self, thing, path):
        """The directive that shows a signature."""
        kind = "class" if thing.is_class else "function" if thing.is_function else "data"
        return [f":::{{py:{kind}}} {path}{parameters(thing)}", ":::"]

    def _methods(self, name, path):
        own = [m for m in name.thing.members.values() if not m.is_alias and m.name[0] != "_" and m.docstring]
        lines = []
        for method in (m for m in own if m.is_function or m.is_attribute and "property" in m.labels):
            kind = "method" if method.is_function else "property"
            lines += ["", f"## {method.name}", "", f":::{{py:{kind}}} {path}.{method.name}{parameters(method)}"]
            lines += [f":{label}:" for label in ("classmethod", "staticmethod") if label in method.labels]
            lines += [":::", "", self.docstring(documentation(method), name.page)]
        for base in name.bases:
            kin, have = self._of(base), {m.name for m in own}
            theirs = [m.name for m in base.members.values() if m.is_function and m.name[0] != "_" and m.docstring]
            theirs = [f"[`{m}`]({relative(kin.page, name.page)}#{m})" for m in theirs if kin and m not in have]
            lines += ["", f"**From {base.name}:** {', '.join(theirs)}.", ""] if theirs else []
        return lines

    def docstring(self, text, page):
        """A docstring in Markdown, its sections as tables, names linked."""
        out = []
        for title, body in sections(text):
            if not title:
                out.append(self.link(body, page))
            elif title in HEADINGS:
                out += [f"| {HEADINGS[title]} |", "|---|---|"]
                for entry, meaning in entries(body):
                    entry = ", ".join(f"`{part.strip()}`" for part in entry.split(",")) if "`" not in entry else entry
                    out.append(f"| {cell(entry)} | {cell(self.link(meaning, page))} |")
                out.append("")
            elif title == "Returns":
                out += ["| Returns |", "|---|", f"| {cell(self.link(body, page))} |", ""]
            else:
                out += [f"*{title}:* {self.link(' '.join(body.split()), page)}", ""]
        return "\n".join(out)

    def index(self):
        """The page of all modules."""
        rooms = {room: module for room, module in self.modules.items() if not room.startswith("papers.")}
        lines = [
            "# Every public name",
            "",
            "`import vaekit as vk`, and all of this is there but for `vaekit.course`.",
            "",
        ]
        lines += ["| Module | |", "|---|---|"]
        for room, module in rooms.items():
            said = self.link(sentence(documentation(module)), "api/index.md")
            lines.append(f"| [`vaekit{'.' + room if room else ''}`]({room or 'top'}/index.md) | {cell(said)} |")
        lines += ["| [`vaekit.papers`](../papers.md) | The five papers: models, settings, tables. |", ""]
        return "\n".join([*lines, *toctree([f"{room or 'top'}/index.md" for room in rooms])])

    def room(self, room):
        """The page of a module: its docstring, and a table of its names."""
        page = f"api/{room or 'top'}/index.md"
        names = [name for path, name in self.names.items() if path.rpartition(".")[0] == room]
        lines = [f"# vaekit{'.' + room if room else ''}", ""]
        lines += [self.docstring(documentation(self.modules[room]), page), ""]
        lines += ["| Name | |", "|---|---|"]
        for name in names:
            lines.append(f"| [`{name.name}`]({relative(name.page, page)}) | {cell(self.link(name.first, page))} |")
        return "\n".join([*lines, "", *toctree([relative(name.page, page) for name in names])])


def exported(module):
    """Public names of a module: its `__all__`, or the classes and functions that are defined in it."""
    if module.exports:
        return [str(name) for name in module.exports]
    own = [m for m in module.members.values() if not m.is_alias and m.name[0] != "_"]
    return [m.name for m in own if m.is_class or m.is_function]


def target(thing):
    return thing.final_target if thing.is_alias else thing


def documentation(thing):
    return inspect.cleandoc(thing.docstring.value) if thing.docstring else ""


def sentence(text):
    """The first sentence of a docstring."""
    return re.split(r"(?<=\.)\s", " ".join(text.split("\n\n")[0].split()) + " ")[0].strip()


def sections(text):
    """Splits a docstring into pairs of a title, "" for prose, and what stands under it."""
    out, title, lines = [], "", []
    for line in [*text.split("\n"), None]:
        start = line is not None and SECTION.match(line)
        ends = title and line and not line.startswith(" ") and lines and not lines[-1].strip()
        if line is None or start or ends:
            if "\n".join(lines).strip():
                out.append((title, inspect.cleandoc("\n" + "\n".join(lines)) if title else "\n".join(lines)))
            title, lines = (start[1], [start[2] or ""]) if start else ("", [])
            if start:
                continue
        if line is not None:
            lines.append(line)
    return out


def entries(body):
    """Splits "name: meaning", where what goes on is indented."""
    for part in re.split(r"\n(?=\S)", body.strip("\n")):
        name, _, meaning = part.partition(": ")
        yield name.strip(), " ".join(meaning.split())


def cell(text):
    """Text that may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", r"\|")


def parameters(thing):
    """A signature's parameters, as text."""
    if thing.is_class:
        if "dataclass" in thing.labels or any(str(base) == "NamedTuple" for base in thing.bases):
            fields = [m for m in thing.members.values() if m.is_attribute and m.annotation and m.name[0] != "_"]
            fields = [m for m in fields if "property" not in m.labels]
            return f"({', '.join(m.name + (f'={m.value}' if m.value is not None else '') for m in fields)})"
        init = thing.all_members.get("__init__")
        return parameters(target(init)) if init is not None else "()"
    if not thing.is_function:
        return ""
    out, bare, positional = [], False, False
    for p in thing.parameters:
        kind = p.kind.value if p.kind else ""
        if positional and "positional-only" not in kind:
            out.append("/")
        positional = "positional-only" in kind
        if p.name in ("self", "cls"):
            positional = False
            continue
        star = "**" if "variadic keyword" in kind else "*" if "variadic" in kind else ""
        bare = bare or star == "*"
        if kind == "keyword-only" and not bare:
            out, bare = [*out, "*"], True
        default = f"={p.default}" if p.default is not None and not star else ""
        out.append(f"{star}{p.name}{default}")
    return f"({', '.join(out)})"


def source(thing, page):
    """The source of a name, behind a click."""
    file = thing.filepath.relative_to(ROOT).as_posix()
    return folded(f"Source: <code>{file}</code>, lines {thing.lineno}–{thing.endlineno}", file, page, thing)


def folded(summary, file, page, thing=None):
    """A file, or the lines of a name, behind a click."""
    lines = [f":lines: {thing.lineno}-{thing.endlineno}", ":lineno-match:"] if thing else []
    include = [f"```{{literalinclude}} {relative(file, page)}", ":language: python", *lines, "```"]
    return ["", '<details class="source">', f"<summary>{summary}</summary>", "", *include, "", "</details>", ""]


def toctree(pages, *options):
    return ["```{toctree}", ":hidden:", *options, "", *pages, "```", ""]


def relative(target, page):
    """A link from one page to another, both from the root."""
    here, there = page.split("/")[:-1], target.split("/")
    while here and there and here[0] == there[0]:
        here, there = here[1:], there[1:]
    return "/".join([".."] * len(here) + there)
