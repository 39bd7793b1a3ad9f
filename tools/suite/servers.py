"""The servers that the served jobs need: MySQL of tools/sandbox and the machine's MariaDB, with the same rows.

Each has a directory of its own below the one that is measured, and is gone with the bench, however that ends: the
kernel kills a server whose parent is no more. Rows are made by the server itself from their numbers, two of
them a page, so that both servers hold the same, and a change of one row in 2 n is a change of one page in n.
"""
import os, pathlib, signal, subprocess, sys, time

TABLES = 4
USER = subprocess.run(["id", "-un"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
# Nothing of what is measured may be in a server's memory, and nothing be left to be written.
INNODB = ["--innodb-buffer-pool-size=256M", "--innodb-flush-log-at-trx-commit=0", "--innodb-max-dirty-pages-pct=0",
          "--innodb-max-dirty-pages-pct-lwm=0", "--innodb-io-capacity=20000", "--innodb-io-capacity-max=40000",
          "--innodb-flush-method=O_DIRECT", "--skip-log-bin"]


def sandbox(root):
    """The folder of tools/sandbox."""
    return pathlib.Path(os.environ.get("LSNAP_SANDBOX") or root / ".sandbox")


def install(root):
    """MySQL, unless it is there: half a minute on a fresh clone."""
    subprocess.run([root / "tools" / "sandbox", "install"], check=True, stdout=subprocess.DEVNULL)


class Server:
    """What both have in common. `home` is the directory of all that is the server's."""

    # Per kind: the program, statements that make rows and numbers, options.
    program, made, numbers, options = None, None, None, []

    def __init__(self, root, home, mib):
        self.root, self.home, self.mib = root, home, mib
        self.datadir, self.log = home / "data", home / "log"
        # The path of a socket must be short, wherever the bench lies.
        self.room = pathlib.Path(subprocess.check_output(["mktemp", "-d", "/tmp/lsnap-bench.XXXXXX"], text=True).strip())
        self.socket = self.room / "s"
        self.process = None
        self.rows, self.rounds = mib * 128 // TABLES, 0

    def begin(self):
        self.home.mkdir(parents=True)
        self.initialise()

    def start(self):
        command = [*self.program, "--no-defaults", f"--user={USER}", f"--datadir={self.datadir}",
                   f"--socket={self.socket}", f"--pid-file={self.room}/pid", f"--log-error={self.log}",
                   f"--tmpdir={self.room}", "--skip-networking", *INNODB, *self.options]
        # To be called by the main thread: the signal comes when the thread that began the process ends.
        # Its own session: Ctrl-C is the bench's, which stops the server.
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, command)], start_new_session=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while subprocess.run(self.client("SELECT 1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"{self.program[0]} does not start: {self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def kill(self):
        """Nobody needs its data."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def end(self):
        self.kill()
        # and the directory of the bench goes with the bench
        subprocess.run(["rm", "-rf", self.room, self.home])

    @property
    def pid(self):
        return self.process.pid

    def sql(self, text):
        out = subprocess.run(self.client(text), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if out.returncode:
            sys.exit(f"{text[:200]}: {out.stderr.strip()}")
        return out.stdout

    def status(self, name):
        return int(self.sql(f"SHOW GLOBAL STATUS LIKE '{name}'").split()[-1])

    def fill(self):
        """The rows: `c` is what changes, of the same length, so that a change is one page and hardly any undo."""
        self.sql("CREATE DATABASE b")
        step = 8192
        for table in range(TABLES):
            self.sql(f"CREATE TABLE b.t{table} (id INT PRIMARY KEY, c INT NOT NULL, "
                     "v VARCHAR(7400) CHARACTER SET latin1 NOT NULL)")
            for first in range(1, self.rows + 1, step):
                last = min(first + step - 1, self.rows)
                self.sql(f"INSERT INTO b.t{table} " + self.made.format(first=first, last=last))
        self.settle()

    def change(self, percent, first=1):
        """Changes so many of the pages, evenly spread, so that no two can be read together. Of the same
        `first`, a larger percentage holds the pages of a smaller that divides it."""
        every = round(200 / percent)
        self.rounds += 1
        for table in range(TABLES):
            numbers = self.numbers.format(first=first, last=self.rows, every=every)
            # by the key, not by a scan of all
            self.sql(f"UPDATE ({numbers}) s STRAIGHT_JOIN b.t{table} t ON t.id = s.i SET t.c = {self.rounds}")
        self.settle()

    def settle(self):
        """Waits until everything is in its file, and the checkpoint has followed."""
        end = time.monotonic() + 600
        while not self.rests():
            if time.monotonic() > end:
                sys.exit(f"the server in {self.home} does not come to rest")
            time.sleep(0.1)

    def files(self):
        """The data files: what a backup has to read."""
        names = ("*.ibd", "ibdata*", "undo*")
        return sorted(p for name in names for p in self.datadir.rglob(name) if p.is_file())

    def bytes(self):
        return sum(path.stat().st_size for path in self.files())


class Mysql(Server):
    made = ("WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) "
            "SELECT i, 0, REPEAT(SHA2(i, 256), 115) FROM n")
    numbers = ("WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + {every} FROM n WHERE i + {every} <= {last}) "
               "SELECT i FROM n")
    options = ["--loose-mysqlx=OFF", "--innodb-redo-log-capacity=256M", "--cte-max-recursion-depth=100000",
               "--secure-file-priv="]

    def __init__(self, root, home, mib):
        super().__init__(root, home, mib)
        self.bin = sandbox(root) / "mysql" / "bin"
        self.program = [self.bin / "mysqld"]

    def initialise(self):
        install(self.root)
        done = subprocess.run([*self.program, "--no-defaults", "--initialize-insecure", f"--user={USER}",
                               f"--datadir={self.datadir}", f"--log-error={self.log}"])
        if done.returncode:
            sys.exit(f"mysqld --initialize-insecure: {self.log.read_text()[-3000:]}")

    def start(self):
        super().start()
        # The first backup of a server that begins to track waits for a checkpoint; it is not what is measured.
        self.sql("INSTALL COMPONENT 'file://component_mysqlbackup'; INSTALL PLUGIN clone SONAME 'mysql_clone.so'; "
                 "SELECT mysqlbackup_page_track_set(true)")

    def client(self, text):
        return [str(self.bin / "mysql"), "--no-defaults", "--user=root", f"--socket={self.socket}", "--batch",
                "--skip-column-names", "-e", text]

    def rests(self):
        return (self.status("Innodb_buffer_pool_pages_dirty") == 0
                and self.status("Innodb_redo_log_checkpoint_lsn") >= self.status("Innodb_redo_log_current_lsn"))

    def login(self):
        """What lsnap needs to find it."""
        return ["--no-defaults", "--user", "root", "--socket", self.socket]


class Mariadb(Server):
    program = ["mariadbd"]
    made = "SELECT seq, 0, REPEAT(SHA2(seq, 256), 115) FROM seq_{first}_to_{last}"
    numbers = "SELECT seq AS i FROM seq_{first}_to_{last}_step_{every}"
    options = ["--innodb-log-file-size=256M", "--innodb-stats-auto-recalc=OFF"]

    def initialise(self):
        subprocess.run(["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
                        "--skip-test-db", f"--user={USER}", f"--datadir={self.datadir}"],
                       check=True, stdout=subprocess.DEVNULL)

    def client(self, text):
        return ["mariadb", "--no-defaults", "-uroot", "-N", f"--socket={self.socket}", "-e", text, "mysql"]

    def rests(self):
        self.sql("FLUSH ENGINE LOGS")
        return (self.status("Innodb_buffer_pool_pages_dirty") == 0
                and self.status("Innodb_checkpoint_age") <= 4096)

    def backup(self, threads, *more):
        """`mariadb-backup` of this server."""
        return ["mariadb-backup", "--no-defaults", "--backup", "--user=root", f"--socket={self.socket}",
                f"--parallel={threads}", *more]


def end_on_signals():
    """SIGTERM and SIGHUP end the bench as Ctrl-C does, so that what it began is cleaned up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
