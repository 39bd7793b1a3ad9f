"""The jobs without a server, on generated data directories: the programs to compare."""
import json, pathlib, shutil, subprocess

from suite.run import Contestant, Job

MIB = 1 << 20
FLOOR = 1_000_000_000
# The default for a restore.
WORKERS = 8


def size(quick):
    """Size of one table, in MiB."""
    return 512 if quick else 8192


class Bench:
    """Paths and sizes."""

    def __init__(self, root, disk, ram, quick, threads, pair):
        """`pair` returns the two servers (`served.Pair`), which it starts at the first call."""
        self.root, self.pair = root, pair
        release = root / "target" / "release"
        self.lsnap, self.examples = release / "lsnap", release / "examples"
        self.disk, self.ram, self.quick, self.threads = disk, ram, quick, threads
        self.mib = size(quick)

    def made(self, place, mib, files, change=None):
        """Returns a generated data directory, and its size in bytes."""
        datadir = place / f"made-{mib}m-{files}-{change}"
        if not datadir.exists():
            made = [self.examples / "datadir", "--out", datadir]
            run(*made, "--size", f"{mib}M", "--files", files, "--lsn", FLOOR)
            if change:
                run(*made, "--change", change, "--lsn", FLOOR)
        return datadir, sum(p.stat().st_size for p in datadir.rglob("*") if p.is_file())

    def offline(self, *arguments, threads=None):
        return [self.examples / "offline", *arguments, "--threads", threads or self.threads]


def run(*command):
    out = subprocess.run([str(c) for c in command], check=True, text=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout) if out.stdout.startswith("{") else None


def table(datadir):
    return max(datadir.rglob("*.ibd"), key=lambda path: path.stat().st_size)


def readers(path, threads, block):
    """One `dd` for each thread, each for its part of the file."""
    blocks = -(-path.stat().st_size // (block * MIB))
    each = -(-blocks // threads)
    return [["dd", f"if={path}", "of=/dev/null", "iflag=direct", f"bs={block}M", f"skip={n * each}", f"count={each}"]
            for n in range(threads)]


def scans(b):
    """Compares with the disk itself: `dd` without the page cache, as many as lsnap has threads."""
    for change in ("0.1%", "2%", "20%") if not b.quick else ("0.1%", "2%"):
        datadir, amount = b.made(b.disk, b.mib, 1, change)
        whole = table(datadir)
        ours = Contestant("lsnap", [b.offline("scan", datadir, "--floor", FLOOR, "--mode", "direct")], amount)
        peers = [Contestant(f"dd, direct, {block} MiB, {b.threads} at once", readers(whole, b.threads, block),
                            whole.stat().st_size) for block in (1, 8)]
        yield Job(f"scan {change}", f"incremental scan of one table of {b.mib} MiB, {change} of its pages changed",
                  ours, peers, 0.9 if change == "0.1%" else None)


def workers(b):
    """One table in memory: the gain of a second worker."""
    mib = min(b.mib, 8192)
    datadir, amount = b.made(b.ram, mib, 1, "0.1%")
    one, two = (Contestant(f"lsnap, {n} worker{'s' * (n > 1)}",
                           [b.offline("scan", datadir, "--floor", FLOOR, threads=n)], amount) for n in (1, 2))
    yield Job("workers", f"scan of one table of {mib} MiB on a RAM disk, 1 and 2 workers", two, [one], 1.8)


def many(b):
    """The same bytes in many small tables."""
    files = 2000 if b.quick else 20_000
    mib = files // 8
    small, amount = b.made(b.ram, mib, files)
    large, whole = b.made(b.ram, mib, 1)
    ours = Contestant(f"lsnap, {files} tables", [b.offline("scan", small, "--floor", FLOOR)], amount)
    peer = Contestant("lsnap, 1 table", [b.offline("scan", large, "--floor", FLOOR)], whole)
    yield Job("small tables", f"scan of {mib} MiB on a RAM disk, in {files} tables and in one", ours, [peer])


def copies(b):
    """A full copy with every page verified, into a directory on the same disk; no server, no redo. lsnap syncs
    the files that it stores, so its peers sync too."""
    datadir, amount = b.made(b.disk, b.mib, 1, "0.1%")
    out = b.disk / "out"
    ours = Contestant("lsnap", [b.offline("copy", datadir, "--to", out)], amount, fresh=out, cold=[datadir])
    whole = table(datadir)
    cp = f"cp -r '{datadir}' '{out}' && find '{out}' -type f -exec sync {{}} +"
    dd = ["dd", f"if={whole}", f"of={out}/table", "iflag=direct", "oflag=direct", "bs=8M", "conv=fsync"]
    peers = [Contestant("cp and sync", [["sh", "-c", cp]], amount, fresh=out, cold=[datadir]),
             Contestant("dd, direct, 8 MiB", [dd], whole.stat().st_size, fresh=out, cold=[datadir])]
    yield Job("full copy", f"full copy of one table of {b.mib} MiB, same disk, pages verified", ours, peers)


def chains(b):
    """The merge of a restore, without redo, which a server would have to apply: chains of increasing length, with
    2% changes in each member, compared with the full backup of the chain."""
    mib = b.mib // 2
    datadir, amount = b.made(b.disk, mib, 4)
    repository, out = b.disk / "repository", b.disk / "out"
    step, members = 2 << 20, []
    for n in range(8 if b.quick else 16):
        if n:
            run(b.examples / "datadir", "--out", datadir, "--change", "2%", "--lsn", FLOOR + n * step)
        after = ["--after", members[-1]] if n else []
        told = run(*b.offline("member", datadir, "--to", repository, "--at", FLOOR + (n + 1) * step, *after))
        members.append(told["name"])

    def restore(n):
        return Contestant(f"the full backup and {n} incrementals" if n else "the full backup alone",
                          [b.offline("merge", out, "--to", repository, "--name", members[n], threads=WORKERS)],
                          amount, fresh=out, cold=[repository])

    for n in (1, 7) if b.quick else (1, 3, 7, 15):
        yield Job(f"chain of {n}", f"merge of a chain of {n} incrementals of 2%, {mib} MiB, redo left out",
                  restore(n), [restore(0)], 1 / 1.2 if n == 7 else None)


def extraction(b):
    """Streams of one table and of many, from and to a RAM disk."""
    mib = b.mib // 4
    for files in (64, 1):
        datadir, _ = b.made(b.ram, mib, files)
        stream = b.ram / f"stream-{files}"
        names = "\n".join(str(p.relative_to(datadir)) for p in sorted(datadir.rglob("*")) if p.is_file())
        with open(stream, "wb") as out:
            subprocess.run([b.lsnap, "xbstream", "-c", *names.split("\n")], cwd=datadir, stdout=out, check=True)
        shutil.rmtree(datadir)
        amount, out = stream.stat().st_size, b.ram / "out"
        ours = Contestant("lsnap xbstream -x", [[b.lsnap, "xbstream", "-x", "--parallel", b.threads, "-C", out]],
                          amount, fresh=out, stdin=stream)
        peers = [Contestant("mbstream -x", [["mbstream", "-x", "-p", b.threads, "-C", out]], amount, fresh=out,
                            stdin=stream)]
        what = f"{files} tables" if files > 1 else "one table"
        yield Job(f"extraction, {what}", f"extraction of a stream of {what}, {amount // MIB} MiB, on a RAM disk",
                  ours, peers, 2.0)
        # The time of the kernel's copy of the same bytes into one file, which no program can beat.
        limit = [Contestant("dd, 1 MiB", [["dd", f"if={stream}", f"of={out}/all", "bs=1M"]], amount, fresh=out)]
        if files == 1:
            yield Job("extraction, limit", f"the same beside a plain copy of the stream", ours, limit)
        stream.unlink()


def compression(b):
    """The page workers with a codec, with discarded output, compared with the program of the codec."""
    mib = b.mib // 2
    datadir, amount = b.made(b.ram, mib, 1)
    whole = table(datadir)
    size = whole.stat().st_size
    for level in (1, 3) if b.quick else (1, 3, 9):
        ours = Contestant("lsnap", [b.offline("scan", datadir, "--compress", f"zstd:{level}")], amount)
        peer = Contestant(f"zstd -{level} -T{b.threads}", [["zstd", f"-{level}", f"-T{b.threads}", "-qc", whole]], size)
        yield Job(f"zstd -{level}", f"{mib} MiB on a RAM disk read, verified, compressed by zstd -{level}",
                  ours, [peer])
    ours = Contestant("lsnap", [b.offline("scan", datadir, "--compress", "lz4")], amount)
    peer = Contestant("lz4", [["lz4", "-qc", whole]], size)
    yield Job("lz4", f"{mib} MiB on a RAM disk read, verified, compressed by lz4 (which has one thread)", ours, [peer])


ALL = {"scan": scans, "workers": workers, "small": many, "copy": copies, "chain": chains, "extract": extraction,
       "compress": compression}
