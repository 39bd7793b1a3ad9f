"""A machine of its own for the commands of the pages: namespaces of mounts, network, processes and host name, over a
copy-on-write view of this machine's files. It has a MySQL server with its files in /var/lib/mysql, Amazon's S3 and
instance metadata on loopback under their own names, and the units of the packages.

| name on the machine | is |
|---|---|
| /usr/bin/lsnap, /usr/local/bin/lsnap | the program to test |
| mysqld, mysql, mysqlbinlog, mysqldump, mysqladmin | those of tools/sandbox |
| s3.eu-central-1.amazonaws.com, 169.254.169.254 | moto, and a service with the credentials of a role |
| sudo, systemctl, journalctl, ssh | scripts in tools/pages/bin: containers have no systemd |
"""
import http.server, json, os, pathlib, shutil, socket, ssl, subprocess, sys, tempfile, threading, time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = {"mysqld": "sbin", "mysql": "bin", "mysqladmin": "bin", "mysqlbinlog": "bin", "mysqldump": "bin"}
REGION, BUCKET = "eu-central-1", "backups"
S3 = f"s3.{REGION}.amazonaws.com"
NAMES = ["localhost", S3, f"{BUCKET}.{S3}", f"offsite.{S3}", "minio.example.org"]
MY_CNF = """[mysqld]
user = mysql
datadir = /var/lib/mysql
socket = /var/run/mysqld/mysqld.sock
pid-file = /var/run/mysqld/mysqld.pid
log-error = /var/log/mysql/error.log
secure-file-priv =
mysqlx = OFF
server-id = 1
gtid-mode = ON
enforce-gtid-consistency = ON
innodb-redo-log-capacity = 16M
innodb-buffer-pool-size = 64M
"""
UNSHARE = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
DATA = """CREATE DATABASE shop; USE shop;
CREATE TABLE customers (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40));
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT, total DECIMAL(8,2), note VARCHAR(200), KEY (customer));
SET SESSION cte_max_recursion_depth = 10000;
INSERT INTO customers (name) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
    SELECT CONCAT('customer ', i) FROM n;
INSERT INTO orders (customer, total, note) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
    SELECT i % 1000 + 1, i / 7, REPEAT(SHA2(i, 256), 2) FROM n;
CREATE USER repl@'%' IDENTIFIED BY 'SECRET'; GRANT REPLICATION SLAVE ON *.* TO repl@'%';
"""


def sh(*command, **more):
    return subprocess.run([str(c) for c in command], check=True, **more)


def wait_for(port, address="127.0.0.1", child=None):
    end = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection((address, port), 1).close()
        except OSError:
            if time.monotonic() > end or (child and child.poll() is not None):
                sys.exit(f"nothing listens at {address}:{port}")
            time.sleep(0.05)


def remove(path):
    """Removes a file or a directory, but not the checkout, which can be in it."""
    path = pathlib.Path(path)
    if path == ROOT:
        return
    if path in ROOT.parents:
        for entry in path.iterdir():
            remove(entry)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def template(work):
    """Makes the data directory that each page begins with."""
    program, data = ROOT / ".sandbox/mysql/bin", work / "template"
    conf = work / "template.cnf"
    conf.write_text(MY_CNF.replace("/var/lib/mysql", str(data)).replace("/var/run/mysqld", str(work))
                    .replace("/var/log/mysql/error.log", str(work / "template.log")).replace("user = mysql", "user = root"))
    for option in (["--initialize-insecure"], [f"--init-file={work}/data.sql", "--skip-networking"]):
        if option[0].startswith("--init-file"):
            # Each statement of an init file is one line.
            lines = " ".join(DATA.split()).replace("; ", ";\n")
            (work / "data.sql").write_text(lines + "\nRESET BINARY LOGS AND GTIDS;\nSHUTDOWN;\n")
        sh(program / "mysqld", f"--defaults-file={conf}", *option, stdout=subprocess.DEVNULL, timeout=120)
    (data / "auto.cnf").unlink()


def prepared():
    """Installs what the machines need; returns a directory for them."""
    if os.geteuid() != 0:
        sys.exit(f"{sys.argv[0]}: root is required: the commands run in namespaces, as several users")
    for tool in ("sandbox", "stores"):
        sh(ROOT / "tools" / tool, "install", stdout=subprocess.DEVNULL)
    os.environ["LSNAP_STORES"] = subprocess.check_output([ROOT / "tools/stores", "dir"], text=True).strip()
    (ROOT / "target").mkdir(exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="docs.", dir=ROOT / "target"))
    work.chmod(0o755)
    template(work)
    return work


class Host:
    """The machine. It is made by a process that `unshare` started, which enters it and stays in it."""

    def __init__(self, work, number, lsnap):
        self.work, self.place, self.lsnap = work, work / f"host{number}", lsnap
        self.root = self.place / "root"

    def enter(self):
        sh("mount", "--make-rprivate", "/")
        if not self.overlay():
            # An overlay, for example the root of a container, can't have the changed files of another one.
            sh("mount", "-t", "tmpfs", "tmpfs", self.place)
            if not self.overlay():
                sys.exit(f"no overlay file system can be mounted at {self.root}")
        self.bind(self.place / "tmp", "tmp")
        (self.root / "tmp").chmod(0o1777)
        if pathlib.Path("/tmp") in ROOT.parents:
            self.bind(ROOT, str(ROOT)[1:])
        sh("mount", "-t", "proc", "proc", self.root / "proc")
        sh("mount", "--rbind", "/dev", self.root / "dev")
        sh("mount", "--rbind", "/sys", self.root / "sys")
        sh("mount", "-t", "tmpfs", "tmpfs", self.root / "run")
        # The overlay has its own view of these, which the machine would write to through it.
        self.bind(self.work, str(self.work)[1:])
        self.programs()
        os.chroot(self.root)
        os.chdir("/")
        self.files()
        self.network()
        self.certificates()
        self.store()

    def overlay(self):
        for name in ("root", "upper", "work", "tmp"):
            (self.place / name).mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir=/,upperdir={self.place}/upper,workdir={self.place}/work"
        return subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root]).returncode == 0

    def bind(self, source, target):
        (self.root / target).mkdir(parents=True, exist_ok=True)
        sh("mount", "--bind", source, self.root / target)

    def programs(self):
        self.bind(ROOT / ".sandbox/mysql", "opt/mysql")
        for place in ("usr/bin/lsnap", "usr/local/bin/lsnap"):
            (self.root / place).unlink(missing_ok=True)
            (self.root / place).touch()
            sh("mount", "--bind", self.lsnap, self.root / place)
        for name, place in PROGRAMS.items():
            for old in ("bin", "sbin"):
                (self.root / "usr" / old / name).unlink(missing_ok=True)
            (self.root / "usr" / place / name).symlink_to(f"/opt/mysql/bin/{name}")
        for script in (ROOT / "tools/pages/bin").iterdir():
            (self.root / "usr/bin" / script.name).unlink(missing_ok=True)
            shutil.copy(script, self.root / "usr/bin" / script.name)
        for unit in (ROOT / "tools/package").glob("lsnap-*.*"):
            (self.root / "usr/lib/systemd/system").mkdir(parents=True, exist_ok=True)
            shutil.copy(unit, self.root / "usr/lib/systemd/system")

    def files(self):
        if subprocess.run(["id", "mysql"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            sh("useradd", "--system", "--user-group", "--home-dir", "/nonexistent", "mysql")
        for directory in ("/etc/mysql", "/var/lib/mysql", "/var/backups", "/var/log/mysql"):
            shutil.rmtree(directory, ignore_errors=True)
            os.makedirs(directory)
        pathlib.Path("/etc/mysql/my.cnf").write_text(MY_CNF)
        os.makedirs("/run/mysqld")
        pathlib.Path("/etc/hosts").write_text(f"127.0.0.1 db1 host {' '.join(NAMES)}\n")
        for path in ("/var/log/mysql", "/run/mysqld"):
            shutil.chown(path, "mysql", "mysql")
        socket.sethostname("db1")

    def network(self):
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "address", "add", "169.254.169.254/32", "dev", "lo")

    def certificates(self):
        names = ",".join(f"DNS:{name}" for name in NAMES)
        sh("sh", "-ec", f"""
            mkdir -p /opt/store; cd /opt/store
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=authority of the docs test' \
                -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN={S3}' -keyout key.pem -out cert.csr
            printf 'subjectAltName={names}\\nextendedKeyUsage=serverAuth\\n' >ext
            openssl x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem
            cat ca.pem >>/etc/ssl/certs/ca-certificates.crt
        """, stderr=subprocess.DEVNULL)

    def store(self):
        place = os.environ["LSNAP_STORES"]
        log = open("/opt/store/moto.log", "w")
        child = subprocess.Popen([f"{place}/venv/bin/python", ROOT / "tests/stores/moto_atomic.py", "-H", "127.0.0.1", "-p",
                                  "443", "-c", "/opt/store/cert.pem", "-k", "/opt/store/key.pem"], stdout=log, stderr=log)
        threading.Thread(target=http.server.ThreadingHTTPServer(("169.254.169.254", 80), Metadata).serve_forever,
                         daemon=True).start()
        wait_for(443, child=child)

    def request(self, method, path):
        scope = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        context = ssl.create_default_context(cafile="/opt/store/ca.pem")
        request = urllib.request.Request(f"https://localhost{path}", method=method, headers={"Authorization": scope})
        urllib.request.urlopen(request, context=context).close()

    def reset(self):
        """Makes the machine as it was before any page: a server with data, an empty bucket, no configuration."""
        sh("systemctl", "kill", "mysql")
        for path in ("/var/lib/mysql", "/etc/lsnap", "/srv", "/backups", "/var/backups", "/etc/mysql", "/var/tmp"):
            remove(path)
        for path in pathlib.Path("/var/lib").glob("mysql*"):
            remove(path)
        for name in ("xtrabackup", "xbstream", "xbcloud", "xbcrypt"):
            # With an xtrabackup on the PATH, a restore would use it.
            pathlib.Path("/usr/local/bin", name).unlink(missing_ok=True)
        for path in pathlib.Path("/tmp").iterdir():
            remove(path)
        for path in ("/srv", "/etc/mysql", "/var/backups", "/var/tmp"):
            os.makedirs(path, exist_ok=True)
        os.chmod("/var/tmp", 0o1777)
        pathlib.Path("/etc/mysql/my.cnf").write_text(MY_CNF)
        sh("cp", "-a", self.work / "template", "/var/lib/mysql")
        sh("chown", "-R", "mysql:mysql", "/var/lib/mysql")
        self.request("POST", "/moto-api/reset")
        self.request("PUT", f"/{BUCKET}")
        sh("systemctl", "start", "mysql")


class Metadata(http.server.BaseHTTPRequestHandler):
    """The metadata service of an instance of Amazon's EC2 with a role."""

    def do_PUT(self):
        self.say("TOKEN")

    def do_GET(self):
        credentials = {"Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC", "AccessKeyId": "AKIDDOCS",
                       "SecretAccessKey": "x", "Token": "x", "Expiration": "2099-01-01T00:00:00Z"}
        self.say("backup" if self.path.endswith("security-credentials/") else json.dumps(credentials))

    def say(self, text):
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass
