"""The jobs with servers: backups, incrementals and restores, compared with other programs and their servers."""
import json, subprocess, threading, time

from suite.run import Contestant, Job, forget
from suite.servers import Mariadb, Mysql

MIB = 1 << 20


class Pair:
    """A MySQL and a MariaDB server with the same rows, filled at the same time."""

    def __init__(self, root, place, mib):
        self.mib, self.named = mib, 0
        self.mysql, self.mariadb = Mysql(root, place / "mysql", mib), Mariadb(root, place / "mariadb", mib)

    def __enter__(self):
        try:
            self.both(lambda server: server.begin())
            for server in (self.mysql, self.mariadb):
                server.start()
            self.both(lambda server: server.fill())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for server in (self.mysql, self.mariadb):
            server.kill()
        for server in (self.mysql, self.mariadb):
            server.end()

    def both(self, what):
        """Runs an action on both servers concurrently."""
        failed = []

        def one(server):
            try:
                what(server)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=one, args=[server], daemon=True) for server in (self.mysql, self.mariadb)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    def change(self, percent, first=1):
        self.both(lambda server: server.change(percent, first))


def backup(b, repository, *more):
    """Returns `lsnap backup` of the MySQL server to a repository, full or on a base."""
    return [b.lsnap, "backup", "--progress", "plain", *b.pair().mysql.login(), "--cluster", "bench",
            "--to", f"file://{repository}", "--parallel", b.threads, *more]


def done(command):
    """Runs the command to its end; returns its output."""
    out = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if out.returncode:
        raise SystemExit(f"{command}: {out.stderr[-1500:]}")
    return out.stdout


def member(b, repository, *more):
    """Makes a backup that is kept; returns its name."""
    # Backup names have a resolution of seconds.
    time.sleep(max(0, b.pair().named + 1.1 - time.monotonic()))
    b.pair().named = time.monotonic()
    return json.loads(done(backup(b, repository, "--json", *more)))["result"]["backup"]["name"]


def synced(directory, *commands):
    """Adds a sync to the commands of a peer, because lsnap syncs its output before it exits."""
    return ["sh", "-c", " && ".join([*commands, f"find '{directory}' -type f -exec sync {{}} +"])]


def quoted(command):
    return " ".join(f"'{word}'" for word in command)


def full(b):
    """A full backup of an idle server on the same disk, every page verified."""
    pair = b.pair()
    mysql, mariadb = pair.mysql, pair.mariadb
    out, amount = b.disk / "out", mysql.bytes()
    ours = Contestant("lsnap", [backup(b, out)], amount, fresh=out, cold=[mysql.datadir], server=mysql.pid)
    clone = mysql.client(f"CLONE LOCAL DATA DIRECTORY = '{out}/clone'")
    clone = Contestant("CLONE LOCAL DATA DIRECTORY", [clone], amount, fresh=out, cold=[mysql.datadir], server=mysql.pid)
    theirs = quoted(mariadb.backup(b.threads, f"--target-dir={out}/full"))
    theirs = Contestant(f"mariadb-backup --parallel={b.threads}, and sync", [synced(out, theirs)], mariadb.bytes(),
                        fresh=out, cold=[mariadb.datadir], server=mariadb.pid)
    text = f"full backup of a server with {pair.mib} MiB of rows to the same disk, pages verified"
    yield [Job("full", text, ours, [clone], 1.0), Job("full, MariaDB", text, ours, [theirs], 2.0)]


def readers(b, files):
    """`dd` without the page cache: all files, with as many concurrent processes as lsnap has threads."""
    parts = [[] for _ in range(b.threads)]
    for path in files:
        blocks = -(-path.stat().st_size // (8 * MIB))
        for n, part in enumerate(parts):
            first, end = blocks * n // b.threads, blocks * (n + 1) // b.threads
            if first < end:
                part.append(f"dd if='{path}' of=/dev/null iflag=direct bs=8M skip={first} count={end - first}")
    return [["sh", "-c", " && ".join(part)] for part in parts if part]


def incremental(b):
    """Scans: an incremental whose stream is discarded, on the same base, with an increasing number of changed
    pages (a larger share includes the smaller ones)."""
    pair = b.pair()
    mysql, mariadb = pair.mysql, pair.mariadb
    repository, base = b.disk / "repository", b.disk / "base"
    member(b, repository)
    stream = quoted(mariadb.backup(b.threads, "--stream=xbstream", f"--target-dir={base}", f"--extra-lsndir={base}"))
    done(["sh", "-c", f"{stream} >/dev/null"])
    lsn = checkpoint(base)
    for percent, wanted in ((0.1, 0.9), (20, None)) if b.quick else ((0.1, 0.9), (2, None), (20, None)):
        pair.change(percent)
        amount = mysql.bytes()
        ours = Contestant("lsnap", [backup(b, repository, "--incremental", "--stream", "--page-tracking=off")], amount,
                          cold=[mysql.datadir], server=mysql.pid)
        dd = Contestant(f"dd, direct, 8 MiB, {b.threads} at once", readers(b, mysql.files()), amount)
        theirs = mariadb.backup(b.threads, "--stream=xbstream", f"--incremental-lsn={lsn}", f"--target-dir={base}")
        theirs = Contestant(f"mariadb-backup --parallel={b.threads}", [theirs], mariadb.bytes(), cold=[mariadb.datadir],
                            server=mariadb.pid)
        text = f"incremental of {pair.mib} MiB of rows by a scan, {percent}% of the pages changed"
        yield [Job(f"incremental {percent}%", text, ours, [dd], wanted),
               Job(f"incremental {percent}%, MariaDB", text, ours, [theirs])]


def checkpoint(directory):
    """Returns the end LSN of a backup of `mariadb-backup`."""
    for line in (directory / "xtrabackup_checkpoints").read_text().splitlines():
        if line.startswith("to_lsn"):
            return int(line.split()[-1])
    raise SystemExit(f"{directory}/xtrabackup_checkpoints has no to_lsn")


def tracking(b):
    """Page tracking, compared with a scan that finds the same pages."""
    pair = b.pair()
    repository = b.disk / "repository"
    member(b, repository)
    pair.mysql.change(1)
    amount = pair.mysql.bytes()
    on, off = (Contestant(name, [backup(b, repository, "--incremental", "--stream", f"--page-tracking={how}")], amount,
                          cold=[pair.mysql.datadir], server=pair.mysql.pid)
               for how, name in (("on", "lsnap, page tracking"), ("off", "lsnap, scan")))
    yield Job("tracking", f"incremental of {pair.mib} MiB of rows by page tracking, 1% of the pages changed", on, [off], 10)


def restore(b):
    """Chains with 2% changes in each member, each time of other pages, compared with a full backup of the final
    state, with the server as redo applier; and mariadb-backup with the same chain of its own server."""
    pair, lengths, theirs = b.pair(), (1, 7) if b.quick else (1, 3, 7, 15), 7
    repository, single, kept, out = (b.disk / name for name in ("repository", "single", "kept", "out"))
    kept.mkdir()
    members = [member(b, repository)]
    done(pair.mariadb.backup(b.threads, f"--target-dir={kept}/0"))
    for n in range(1, max(lengths) + 1):
        pair.change(2, 2 * n + 1)
        members.append(member(b, repository, "--incremental"))
        if n <= theirs:
            done(pair.mariadb.backup(b.threads, f"--target-dir={kept}/{n}", f"--incremental-basedir={kept}/{n - 1}"))
    member(b, single)
    one = restored(b, "the full backup alone", single, "latest")
    jobs = []
    for n in lengths:
        ours = restored(b, f"a full backup and {n} incrementals", repository, members[n])
        text = f"restore of a full backup and {n} incrementals of 2%, {pair.mib} MiB of rows, with redo"
        jobs.append(Job(f"restore of {n}", text, ours, [one], 1 / 1.2 if n == 7 else None))
        if n == theirs:
            jobs.append(Job(f"restore of {n}, MariaDB", text, ours, [prepared(b, kept, n, "move-back")], 4.0))
            if not b.quick:
                jobs.append(Job(f"restore of {n}, two copies", text, ours, [prepared(b, kept, n, "copy-back")]))
    yield jobs


def restored(b, name, repository, which):
    command = [b.lsnap, "restore", "--progress", "plain", "--from", f"file://{repository}", which, "--datadir",
               b.disk / "out" / "data", "--mysqld", b.pair().mysql.bin / "mysqld"]
    return Contestant(name, [command], b.pair().mysql.bytes(), fresh=b.disk / "out", cold=[repository])


def prepared(b, kept, last, back):
    """Prepares a chain of mariadb-backup: the base is copied, because preparing changes it; the incrementals are
    copied too, but before the timing starts. `move-back` is the cheapest final step, `copy-back` the one that most
    instructions recommend."""
    out = b.disk / "out"
    prepare = f"mariadb-backup --no-defaults --prepare --use-memory=128M --target-dir='{out}/full'"

    def copies():
        for n in range(1, last + 1):
            done(["cp", "-r", kept / str(n), out / str(n)])
        forget(out)

    script = synced(f"{out}/data", f"cp -r '{kept}/0' '{out}/full'", prepare,
                    *(f"{prepare} --incremental-dir='{out}/{n}'" for n in range(1, last + 1)),
                    f"mariadb-backup --no-defaults --{back} --target-dir='{out}/full' --datadir='{out}/data'")
    return Contestant(f"mariadb-backup: cp, --prepare, --{back}, and sync", [script], b.pair().mariadb.bytes(), fresh=out,
                      cold=[kept], before=copies)


# Tracking before the incrementals: after few changed pages the server creates no reset point, and
# lists the pages since the previous one.
ALL = {"full": full, "tracking": tracking, "incremental": incremental, "restore": restore}
