"""Collect English sentences from documentation and package descriptions.

Reads folders of documentation (HTML, Markdown, reStructuredText, plain text, manual pages, POD,
Python docstrings, Javadoc in source archives, service descriptions in JSON) and Debian-style
indexes of package descriptions, cuts their paragraphs into sentences, drops what is not prose and
writes three files:

    train.tsv       source <TAB> sentence
    heldout.tsv     the same, from documents of which no sentence is in train.tsv
    passages.tsv    source <TAB> several sentences of one paragraph (training documents only)
"""

import argparse
import ast
import collections
import gzip
import hashlib
import html
import html.parser
import json
import pathlib
import random
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator

Document = tuple[str, str, list[str]]  # source, name of the document's group, paragraphs

BLOCKS = {
    "p",
    "li",
    "dd",
    "dt",
    "td",
    "th",
    "h1",
    "h2",
    "h3",
    "h4",
    "div",
    "section",
    "blockquote",
    "summary",
}
SILENT = {"pre", "script", "style", "nav", "head", "button", "footer", "svg"}
SENTENCE_END = re.compile(r"(?<=[a-z0-9)\"'][.!?])\s+(?=[A-Z\"'(])")
WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
ABBREVIATIONS = (
    "e.g.",
    "i.e.",
    "etc.",
    "vs.",
    "cf.",
    "Mr.",
    "Dr.",
    "St.",
    "No.",
    "Inc.",
    "Ltd.",
    "approx.",
)


class Prose(html.parser.HTMLParser):
    """Collects the text of an HTML page, one paragraph for every block element, code left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: list[str] = []
        self.parts: list[str] = []
        self.silent = 0

    def flush(self) -> None:
        """Ends the paragraph."""
        self.paragraphs.append("".join(self.parts))
        self.parts.clear()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begins a paragraph or a part without prose."""
        if tag in SILENT:
            self.silent += 1
        if tag in BLOCKS:
            self.flush()

    def handle_endtag(self, tag: str) -> None:
        """Ends what the tag began."""
        if tag in SILENT and self.silent:
            self.silent -= 1
        if tag in BLOCKS:
            self.flush()

    def handle_data(self, data: str) -> None:
        """Takes text outside of silent elements."""
        if not self.silent:
            self.parts.append(data)


def from_html(text: str) -> list[str]:
    page = Prose()
    page.feed(text)
    page.flush()
    return page.paragraphs


def from_plain(text: str) -> list[str]:
    """Paragraphs of plain text, Markdown or reStructuredText; indented and fenced code left out."""
    text = re.sub(r"^(```|~~~).*?^\1", "\n", text, flags=re.S | re.M)
    text = re.sub(r"!?\[([^\]]+)\]\([^)]*\)|\[([^\]]+)\]\[[^\]]*\]", lambda m: m[1] or m[2], text)
    text = re.sub(r":[a-z:]+:`~?([^`<]+?)(?:\s*<[^>]*>)?`", r"\1", text)
    text = re.sub(
        r"[`*_]{2,}|(?<!\w)[*_`]|[*`](?!\w)|^\s*(?:[-*+o]|\d+[.)])\s+(?=\S)", "", text, flags=re.M
    )
    paragraphs = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:#|\.\. |:param|@))", text):
        lines = block.strip("\n").split("\n")
        if lines[0].startswith(("    ", "\t", ".. ", ">>>", "|", "$ ")) or "::" in lines[0][-2:]:
            continue
        paragraphs.append(" ".join(line.strip() for line in lines))
    return paragraphs


def from_roff(text: str) -> list[str]:
    """Paragraphs of a manual page written with the man macros."""
    if re.search(r"^\.Dd", text, flags=re.M):
        return []
    paragraphs: list[str] = []
    current: list[str] = []
    verbatim = False
    for line in text.split("\n"):
        macro = re.match(r"[.'](\S*)\s*(.*)", line)
        if not macro:
            if not verbatim:
                current.append(line)
            continue
        name, rest = macro.groups()
        verbatim = {"nf": True, "EX": True, "fi": False, "EE": False}.get(name, verbatim)
        if name in ("B", "I", "R", "SM"):
            current.append(rest)
        elif name in ("BR", "IR", "BI", "IB", "RB", "RI"):
            current.append(rest.replace('"', "").replace(" ", ""))
        else:
            paragraphs.append(" ".join(current))
            current.clear()
    paragraphs.append(" ".join(current))
    text = "\x00".join(paragraphs)
    text = re.sub(r"\\f(?:\[[^\]]*\]|\(..|.)|\\s[-+]?\d|\\[&|^/,%:]|\\m\[[^\]]*\]", "", text)
    text = text.replace("\\-", "-").replace("\\e", "\\").replace("\\ ", " ").replace("\\(aq", "'")
    text = re.sub(r"\\\((?:lq|rq|dq)|\\\*\(..|\\\[[lr]q\]", '"', text)
    text = re.sub(r"\\\(..|\\\[[^\]]*\]", " ", text)
    return text.split("\x00")


def from_pod(text: str) -> list[str]:
    paragraphs = []
    inside = False
    for block in re.split(r"\n\s*\n", text):
        block = block.strip("\n")
        if block.startswith("="):
            inside = not block.startswith("=cut")
        elif inside and block and not block[0].isspace():
            paragraphs.append(
                re.sub(r"[A-Z]<+\s*(?:[^<>|]*\|)?([^<>]*?)\s*>+", r"\1", block.replace("\n", " "))
            )
    return paragraphs


def from_python(text: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    strings = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [p for string in strings if string for p in from_plain(string)]


def from_java(text: str) -> list[str]:
    paragraphs = []
    for comment in re.findall(r"/\*\*(.*?)\*/", text, flags=re.S):
        body = re.sub(r"^\s*\* ?", "", comment, flags=re.M).split("\n@")[0]
        body = re.sub(r"\{@\w+\s+([^{}]*)\}", r"\1", body)
        paragraphs += from_html(body.replace("<p>", "</p><p>"))
    return paragraphs


def from_service(text: str) -> list[str]:
    """Paragraphs of the ``documentation`` values of a service description in JSON."""
    found: list[str] = []

    def visit(value: object) -> None:
        if isinstance(value, dict):
            note = value.get("documentation")
            if isinstance(note, str):
                found.extend(from_html(note))
            for item in value.values():
                visit(item)

    visit(json.loads(text))
    return found


READERS = {
    ".html": from_html,
    ".htm": from_html,
    ".md": from_plain,
    ".rst": from_plain,
    ".txt": from_plain,
    ".py": from_python,
    ".pod": from_pod,
    ".pm": from_pod,
    ".info": from_plain,
    "": from_plain,
}


def read(path: pathlib.Path) -> tuple[str, list[str]]:
    """The kind of a file and its paragraphs; an empty kind for a file of no use."""
    name = path.name.removesuffix(".gz")
    if name.lower().startswith(("changelog", "changes", "copyright.", "makefile", "cmakelists")):
        return "", []
    suffix = pathlib.PurePath(name).suffix.lower()
    if re.fullmatch(r"\.[1-9nl]\w*", suffix) and "man" in path.parent.name:
        kind, reader = "manual", from_roff
    elif name.startswith("service-2.json"):
        kind, reader = "service", from_service
    elif suffix in READERS and (
        suffix or name.upper().startswith(("README", "NEWS", "FAQ", "COPYING", "LICENSE"))
    ):
        kind, reader = suffix[1:] or "readme", READERS[suffix]
    else:
        return "", []
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return kind, reader(data.decode("utf-8", "replace"))


def from_folder(folder: pathlib.Path) -> Iterator[Document]:
    """The documents of a folder; files of one name in two releases of a package make one group."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > 8_000_000:
            continue
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in sorted(n for n in archive.namelist() if n.endswith(".java")):
                    yield "javadoc", name, from_java(archive.read(name).decode("utf-8", "replace"))
            continue
        try:
            kind, paragraphs = read(path)
        except (OSError, EOFError, json.JSONDecodeError):
            continue
        if paragraphs:
            yield (
                kind,
                "/".join(path.parts[-3:-1] if kind == "service" else path.parts[-2:]),
                paragraphs,
            )


def from_index(path: pathlib.Path) -> Iterator[Document]:
    """The descriptions in an index of packages; packages named alike make one group."""
    for stanza in path.read_text("utf-8").split("\n\n"):
        match = re.match(r"Package: (\S+)\n.*?Description-en: (.*)", stanza, flags=re.S)
        if match:
            title, *lines = match[2].split("\n")
            body = re.sub(r"^ (?: *[-*+o]\s+)", "\n\n", "\n".join(lines), flags=re.M)
            body = re.sub(r"^ \.$", "", body, flags=re.M)
            paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", body)]
            yield (
                "package",
                re.split(r"[-+.0-9]", match[1].removeprefix("lib"))[0],
                [title, *paragraphs],
            )


def sentences(paragraph: str) -> list[str]:
    paragraph = " ".join(html.unescape(paragraph).split())
    for short in ABBREVIATIONS:
        paragraph = paragraph.replace(short + " ", short.replace(".", "\x01") + " ")
    return [s.replace("\x01", ".").strip("# ") for s in SENTENCE_END.split(paragraph)]


def is_prose(sentence: str) -> bool:
    """Whether a string reads like English: mostly words, few symbols, at least one common word."""
    words = WORD.findall(sentence)
    if not 3 <= len(words) <= 70 or len(sentence) > 450:
        return False
    letters = sum(len(w) for w in words)
    dense = letters + sentence.count(" ") + sentence.count(",") + sentence.count(".")
    if dense < 0.9 * len(sentence) or not sentence.isascii() or not sentence.isprintable():
        return False
    if re.search(r"[_=<>{}\\|^~$]{1}|::|->|\w\(\)|https?:|@\w", sentence):
        return False
    return len(words) < 6 or any(w.lower() in COMMON for w in words)


COMMON = {
    "the",
    "a",
    "an",
    "of",
    "to",
    "and",
    "in",
    "is",
    "for",
    "with",
    "that",
    "this",
    "are",
    "it",
    "or",
    "be",
    "you",
}


def key(sentence: str) -> str:
    return " ".join(w.lower() for w in re.findall(r"[A-Za-z]+", sentence))


def collect(
    documents: Iterable[Document], heldout: float, opening: int, rng: random.Random
) -> dict[str, list[tuple[str, str]]]:
    """Unique sentences by part; no more than ``opening`` of them begin with the same five words."""
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "heldout": [], "passages": []}
    seen: dict[str, str] = {}
    openings: collections.Counter[str] = collections.Counter()
    for source, group, paragraphs in documents:
        digest = int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big")
        part = "heldout" if digest < heldout * 2**32 else "train"
        for paragraph in paragraphs:
            kept = []
            for sentence in sentences(paragraph):
                if not is_prose(sentence):
                    continue
                name = key(sentence)
                first = seen.setdefault(name, part)
                if first != part:  # found on both sides of the split: belongs to neither
                    seen[name] = "both"
                    continue
                start = " ".join(name.split()[:5])
                openings[start] += 1
                if openings[start] <= opening:
                    kept.append(sentence)
                    parts[part].append((source, sentence))
            if part == "train" and len(kept) > 1 and rng.random() < 0.3:
                parts["passages"].append((source, " ".join(kept)[:900]))
    for part, items in parts.items():
        if part != "passages":
            parts[part] = list(
                {key(s): (source, s) for source, s in items if seen[key(s)] == part}.values()
            )
        rng.shuffle(parts[part])
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--index", type=pathlib.Path, nargs="*", default=[], help="package description indexes"
    )
    parser.add_argument(
        "--folder", type=pathlib.Path, nargs="*", default=[], help="documentation folders"
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument(
        "--heldout", type=float, default=0.03, help="share of the documents held out"
    )
    parser.add_argument(
        "--opening", type=int, default=30, help="most sentences with the same first five words"
    )
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    def documents() -> Iterator[Document]:
        for index in args.index:
            yield from from_index(index)
        for folder in args.folder:
            yield from from_folder(folder)

    parts = collect(documents(), args.heldout, args.opening, random.Random(args.seed))
    args.out.mkdir(parents=True, exist_ok=True)
    for part, items in parts.items():
        lines = (f"{source}\t{text}\n" for source, text in items)
        (args.out / f"{part}.tsv").write_text("".join(lines), "utf-8")
        print(part, len(items), dict(collections.Counter(source for source, _ in items)))


if __name__ == "__main__":
    main()
