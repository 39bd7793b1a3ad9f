"""The fenced blocks of a page, and what is done with each: docs/README.md documents the words after a fence."""
import re, subprocess

# Languages of blocks that nothing is done with: figures, files of other programs, and outputs that no command of the page
# prints (without the word `output`).
# Drop-ins of units ("ini") are run by tools/first-day.
OTHER = {"ini", "rust", "text"}
HOOK = re.compile(r"<!-- docs-test: (.*?) -->", re.DOTALL)
FENCE = re.compile(r"^```(.*)$")


class Block:
    """A fenced block. `kind` is its language; `words` are the words after it; `hooks` are the commands in comments
    before it, which are not rendered."""

    def __init__(self, page, line, info, text, hooks):
        self.page, self.line, self.text, self.hooks = page, line, text, hooks
        self.kind, _, self.words = info.partition(" ")

    @property
    def reason(self):
        """The reason why the block is not run, or None."""
        found = re.fullmatch(r"norun: (.+)", self.words)
        return found and found.group(1)

    @property
    def file(self):
        """The file that the reader writes with this text, or None."""
        return self.words if self.words.startswith("/") else None

    def commands(self):
        """The commands of a shell block: each as its lines."""
        found, lines = [], []
        for line in self.text.splitlines():
            if not lines and (not line.strip() or line.lstrip().startswith("#")):
                continue
            lines.append(line)
            text = "\n".join(lines)
            complete = not line.endswith("\\") and subprocess.run(
                ["bash", "-n", "-c", text], stderr=subprocess.DEVNULL).returncode == 0
            if complete:
                found.append(text)
                lines = []
        if lines:
            raise ValueError(f"{self.page}:{self.line}: this is no complete command: {lines}")
        return found


def blocks(page, text):
    """Returns the blocks of a page in their order."""
    found, hooks, start, info, lines = [], [], None, None, []
    comment = None
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line.strip())
        if start is None and comment is None and line.startswith("<!-- docs-test:"):
            comment = []
        if comment is not None:
            comment.append(line)
            if "-->" in line:
                hooks.append(HOOK.fullmatch("\n".join(comment).strip()).group(1))
                comment = None
        elif fence and start is None:
            start, info, lines = number, fence.group(1), []
        elif fence:
            found.append(Block(page, start, info, "\n".join(lines) + "\n", hooks))
            start, hooks = None, []
        elif start is not None:
            lines.append(line)
    if start is not None:
        raise ValueError(f"{page}:{start}: this fence has no end")
    if hooks:
        # Commands after the last block are run at the end of the page.
        found.append(Block(page, len(text.splitlines()), "end", "", hooks))
    return found


PATTERNS = [
    (r"\d{4}-\d\d-\d\d[-T]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r"\b[0-9a-f]{8}:", "UUID:"),
    (r"\d+(\.\d+)? (B|KiB|MiB|GiB|TiB|ms|s|min|h|d)(/s)?(?![a-z])", "SIZE"),
    (r"\d+(\.\d+)*", "N"),
    (r"[ \t]+", " "),
]


def normal(line):
    """Returns a line of output without the parts that differ from run to run."""
    for pattern, name in PATTERNS:
        line = re.sub(pattern, name, line)
    return line.strip()


def missing(expected, found):
    """Returns the first line of an expected output that the found one doesn't have in this order, or None. A line of
    dots stands for any lines, and dots in a line for any text."""
    lines = [normal(line) for line in found.splitlines()]
    for wanted in expected.splitlines():
        if not wanted.strip() or wanted.strip() == "...":
            continue
        pattern = ".*".join(map(re.escape, normal(wanted).split("...")))
        at = next((n for n, line in enumerate(lines) if re.fullmatch(pattern, line)), None)
        if at is None:
            return wanted
        lines = lines[at + 1:]
    return None
