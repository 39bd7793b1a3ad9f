"""Prints commands and files of a page of the docs, so that a test runs the page's own.

  blocks.py PAGE block HEADING LANGUAGE   the blocks in LANGUAGE (sh, sql, toml) below headings that begin with HEADING
  blocks.py PAGE first HEADING LANGUAGE   the first of them
  blocks.py PAGE line START               the first line of a block that begins with START, without its comment
  blocks.py PAGE code START               the first piece of inline code that begins with START

If there is none it fails: a page that changes doesn't silently lose its test.
"""
import pathlib, re, sys


def blocks(text):
    """Yields the heading, the language and the text of each block. A fence without a language contains commands."""
    heading, language, lines = "", None, []
    for line in text.splitlines(keepends=True):
        fence = re.match(r"```(\S*)", line)
        if fence and language is None:
            language, lines = fence[1] or "sh", []
        elif fence:
            yield heading, language, "".join(lines)
            language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.strip()


def main():
    page, kind, start, *language = sys.argv[1:]
    text = pathlib.Path(page).read_text(encoding="utf-8")
    if kind in ("block", "first"):
        found = [body for heading, name, body in blocks(text) if heading.startswith(start) and [name] == language]
        found = found[:1] if kind == "first" else found
    elif kind == "line":
        lines = [line for _, _, body in blocks(text) for line in body.splitlines()]
        found = [re.sub(r"\s+#.*", "", line) for line in lines if line.startswith(start)][:1]
    else:
        found = [code for code in re.findall(r"`([^`\n]+)`", text) if code.startswith(start)][:1]
    if not found:
        sys.exit(f"{page}: found no {kind} that begins with {start} {' '.join(language)}; adapt tools/first-day to the page")
    print("\n".join(found))


main()
