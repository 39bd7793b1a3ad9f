"""The servers of the jobs with servers: MySQL of tools/sandbox and the machine's MariaDB, with the same rows.

Each has its own directory below the measured one, and is stopped at the end of the bench, also after an error: the
kernel kills a server whose parent has ended. The server computes the rows from their numbers, two rows in a page,
so that both servers have the same rows, and a change of one row in 2 n changes one page in n.
"""
import os, pathlib, signal, subprocess, sys, time

TABLES = 4
USER = subprocess.run(["id", "-un"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
# The measured data must not be in the memory of a server, and no dirty pages may be left.
INNODB = ["--innodb-buffer-pool-size=256M", "--innodb-flush-log-at-trx-commit=0", "--innodb-max-dirty-pages-pct=0",
          "--innodb-max-dirty-pages-pct-lwm=0", "--innodb-io-capacity=20000", "--innodb-io-capacity-max=40000",
          "--innodb-flush-method=O_DIRECT", "--skip-log-bin"]


def sandbox(root):
    """Returns the folder of tools/sandbox."""
    return pathlib.Path(os.environ.get("LSNAP_SANDBOX") or root / ".sandbox")


def install(root):
    """Installs MySQL if it is missing: takes half a minute on a new clone."""
    subprocess.run([root / "tools" / "sandbox", "install"], check=True, stdout=subprocess.DEVNULL)


class Server:
    """The common part of both servers. `home` is the directory of all files of the server."""

    # For each kind: the program, the statements that create rows and numbers, the options.
    program, made, numbers, options = None, None, None, []

    def __init__(self, root, home, mib):
        self.root, self.home, self.mib = root, home, mib
        self.datadir, self.log = home / "data", home / "log"
        # The path of a socket must be short, wherever the bench is located.
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
        # Called by the main thread: the signal comes when the thread that started the process ends.
        # A separate session: Ctrl-C goes to the bench, which stops the server.
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, command)], start_new_session=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while subprocess.run(self.client("SELECT 1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"{self.program[0]} did not start: {self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def kill(self):
        """Kills the server; its data is not needed any more."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def end(self):
        self.kill()
        # and the directory is removed together with the bench
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
        """Creates the rows: `c` is changed later, to a value of the same length, so that a change affects one page and
        little undo."""
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
        """Changes this share of the pages, evenly spread, so that no two can be read together. With the same `first`,
        a larger percentage includes the pages of a smaller one that divides it."""
        every = round(200 / percent)
        self.rounds += 1
        for table in range(TABLES):
            numbers = self.numbers.format(first=first, last=self.rows, every=every)
            # by the key, not by a full scan
            self.sql(f"UPDATE ({numbers}) s STRAIGHT_JOIN b.t{table} t ON t.id = s.i SET t.c = {self.rounds}")
        self.settle()

    def settle(self):
        """Waits until all pages are flushed and the checkpoint has advanced."""
        end = time.monotonic() + 600
        while not self.rests():
            if time.monotonic() > end:
                sys.exit(f"the server in {self.home} did not become idle")
            time.sleep(0.1)

    def files(self):
        """Returns the data files that a backup must read."""
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
        # The first backup of a server that starts page tracking waits for a checkpoint, which must
        # not be measured.
        self.sql("INSTALL COMPONENT 'file://component_mysqlbackup'; INSTALL PLUGIN clone SONAME 'mysql_clone.so'; "
                 "SELECT mysqlbackup_page_track_set(true)")

    def client(self, text):
        return [str(self.bin / "mysql"), "--no-defaults", "--user=root", f"--socket={self.socket}", "--batch",
                "--skip-column-names", "-e", text]

    def rests(self):
        return (self.status("Innodb_buffer_pool_pages_dirty") == 0
                and self.status("Innodb_redo_log_checkpoint_lsn") >= self.status("Innodb_redo_log_current_lsn"))

    def login(self):
        """Returns the connection options of lsnap."""
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
        """Returns the `mariadb-backup` command for this server."""
        return ["mariadb-backup", "--no-defaults", "--backup", "--user=root", f"--socket={self.socket}",
                f"--parallel={threads}", *more]


def end_on_signals():
    """Makes SIGTERM and SIGHUP end the bench like Ctrl-C, so that it cleans up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
