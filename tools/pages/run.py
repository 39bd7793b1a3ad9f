"""Runs the blocks of pages on a machine of `host`."""
import json, os, pathlib, re, subprocess, time

from pages.blocks import OTHER, blocks, missing
from pages.host import ROOT, Host

# The pages that begin on a machine without a configuration. The others begin on one on which the commands of the quick
# start were run, up to this heading.
BARE = {"README.md", "docs/quick-start.md", "docs/install.md"}
CONFIGURED_BY, UNTIL = "docs/quick-start.md", "## 6."
TIMEOUT = 120
# The placeholder for a name, which is that of the newest backup.
NAME = re.compile(r"\bNAME\b")
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
       "LOGNAME": "root", "USER": "root"}


class Failed(Exception):
    pass


def pages():
    """Returns the pages whose blocks are run or checked."""
    found = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
    return [page for page in found if not page.startswith("docs/format/")]


def shell(script, where):
    """Runs commands as root; returns their standard output and error."""
    try:
        done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd="/srv", env=ENV, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{where}: did not end within {TIMEOUT} s:\n{script}\n{(late.stdout or b'').decode()}") from None
    if done.returncode:
        raise Failed(f"{where}: exit code {done.returncode}:\n{script}\n--- output:\n{done.stdout}")
    return done.stdout


class Page:
    """One page: its blocks in order, on one machine."""

    def __init__(self, name, text=None):
        self.name = name
        text = (ROOT / name).read_text() if text is None else text
        self.blocks = blocks(name, text)
        self.counts = {"blocks": 0, "commands": 0, "written": 0, "outputs": 0, "marked": []}
        self.output = None

    def has(self, *kinds):
        """Returns whether a block of these kinds is run."""
        return any(block.kind in kinds and not block.reason for block in self.blocks)

    def count(self, what, by=1):
        self.counts[what] += by

    def run(self, host):
        for block in self.blocks:
            where = f"{self.name}:{block.line}"
            for hook in block.hooks:
                shell(hook, f"{where} (a comment before it)")
            if block.kind == "end":
                continue
            self.count("blocks")
            trace(where, 0)
            if block.reason:
                self.counts["marked"].append(f"{where}: {block.reason}")
            else:
                self.one(block, where)

    def one(self, block, where):
        kind, text = block.kind, block.text
        if kind == "sh":
            self.count("commands", len(block.commands()))
            if block.words == "background":
                option = {name: re.search(rf"--{name}[ =](\S+)", text).group(1) for name in ("datadir", "socket")}
                socket = os.path.join(option["datadir"], option["socket"])
                text = f"{{\n{text}}} </dev/null >/srv/background 2>&1 &\n" \
                       f"for i in {{1..300}}; do mysqladmin --socket {socket} ping >/dev/null 2>&1 && exit; sleep 0.1; done\n" \
                       "cat /srv/background; exit 1"
            self.output = shell(NAME.sub("$(newest-backup)", text), where)
        elif kind == "sql":
            self.count("commands", text.count(";\n"))
            self.output = shell(f"mysql {block.words} <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\n", where)
        elif kind == "text" and block.words == "output":
            self.count("outputs")
            line = missing(text, self.output)
            if line is not None:
                raise Failed(f"{where}: the commands before it did not print this line:\n{line}\nthey printed:\n{self.output}")
        elif block.file:
            self.count("written")
            path = pathlib.Path(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            os.chmod(path, 0o644 if kind == "toml" else 0o600)
            if kind == "toml":
                shell(f"lsnap --config {path} config show", where)
        elif kind == "toml":
            self.count("written")
            path = pathlib.Path("/tmp/block.toml")
            path.write_text(text)
            shell(f"lsnap --config {path} config show", where)
            path.unlink()
        elif kind == "json":
            # A document, or one on each line.
            for document in [text] if text.startswith(("{\n", "[\n")) else text.splitlines():
                json.loads(document)
        elif kind == "yaml":
            for arguments in re.findall(r"args: (\[.*\])", text):
                self.count("commands")
                shell(f"lsnap {' '.join(json.loads(arguments))} --help", where)
        elif kind not in OTHER:
            raise Failed(f"{where}: a block needs a language (sh, sql, toml, text ...) and, if it isn't run, a reason: "
                         f"`{kind} {block.words}`")


def trace(what, begun):
    if os.environ.get("LSNAP_DOCS_TRACE"):
        print(f"{what}: {time.monotonic() - begun:.1f} s", flush=True)


def configured():
    """Returns the quick start as far as its backups. Its throttle is left out: it would measure for seconds in each."""
    text = (ROOT / CONFIGURED_BY).read_text()
    return Page(CONFIGURED_BY, text[:text.index(UNTIL)].replace('throttle = "auto"\n', ""))


def in_first_process(job):
    """Runs a job in a child: the first process of a namespace only waits for children, its own and those without a
    parent. A server that was stopped would remain otherwise."""
    child = os.fork()
    if child == 0:
        return job()
    while True:
        ended, status = os.wait()
        if ended == child:
            raise SystemExit(os.waitstatus_to_exitcode(status))


def work(directory, number, lsnap):
    """Runs pages that no other worker has taken, until none is left."""
    host = None
    for name in json.loads((directory / "pages.json").read_text()):
        try:
            os.close(os.open(directory / ("taken-" + name.replace("/", "-")), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        page, error, begun = Page(name), None, time.monotonic()
        try:
            if page.has("sh", "sql", "toml", "ini", "yaml"):
                if host is None:
                    host = Host(directory, number, lsnap)
                    host.enter()
                    trace("enter", begun)
            if page.has("sh", "sql"):
                host.reset()
                trace("reset", begun)
                if name not in BARE:
                    configured().run(host)
            page.run(host)
        except Failed as failed:
            error = str(failed)
        page.counts |= {"page": name, "error": error, "seconds": time.monotonic() - begun}
        with open(directory / f"results-{number}", "a") as out:
            out.write(json.dumps(page.counts) + "\n")
