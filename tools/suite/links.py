"""Transfers to and from a remote store: moto (tools/stores) behind a simulated link with a delay and a bandwidth
(tools/slow_link.rs documents the simulation). Throughput must increase with the requests in flight until the link
is full. The row without a link is the limit of moto itself on this machine: a faster link can't be filled."""
import contextlib, os, pathlib, socket, struct, subprocess, sys, time, urllib.request, zlib

from suite.run import Contestant, Job

MIB = 1 << 20
NAME = "bench-2026-01-01-00:00:00-full"
OBJECT = 2 * MIB
RTT_MS, LINK_MB_S = 50, 60
KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}


class Store(contextlib.ExitStack):
    """moto and the link before it, until the end of the block."""

    def __init__(self, root, room):
        super().__init__()
        self.root, self.room = root, room

    def __enter__(self):
        try:
            self.begin()
        except BaseException:
            self.close()
            raise
        return self

    def begin(self):
        tools = self.root / "tools"
        subprocess.run([tools / "stores", "install"], check=True)
        place = pathlib.Path(subprocess.check_output([tools / "stores", "dir"], text=True).strip())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.child([place / "venv" / "bin" / "moto_server", "-H", "127.0.0.1", "-p", self.port],
                   env=os.environ | {"TMPDIR": str(self.room)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait()
        link = self.root / "target" / "release" / "examples" / "slow_link"
        link = self.child([link, self.port, RTT_MS, LINK_MB_S], stdout=subprocess.PIPE, text=True)
        self.slow = int(link.stdout.readline())
        scope = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.port}/bench", method="PUT",
                                                      headers={"Authorization": scope})).close()

    def child(self, command, **more):
        child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, command)], start_new_session=True, **more)

        def end():
            child.kill()
            child.wait()
        self.callback(end)
        return child

    def wait(self):
        end = time.monotonic() + 60
        while True:
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/moto-api/").close()
            except OSError:
                if time.monotonic() > end:
                    sys.exit("moto did not start")
                time.sleep(0.1)

    def reach(self, port):
        return ["--endpoint", f"http://127.0.0.1:{port}", "--allow-http", "--progress", "none"]


def stream_of(path, mib):
    """Returns an xbstream of one file: `cloud put` creates one object for each of its chunks."""
    with open(path, "wb") as out:
        def chunk(name, kind, at=0, data=b""):
            out.write(b"XBSTCK01\0" + kind + struct.pack("<I", len(name)) + name)
            if kind == b"P":
                out.write(struct.pack("<QQI", len(data), at, zlib.crc32(data)) + data)
        for at in range(0, mib * MIB, OBJECT):
            chunk(b"table.ibd", b"P", at, os.urandom(OBJECT))
        chunk(b"table.ibd", b"E")
        chunk(b"xtrabackup_tablespaces", b"P", 0, b"none")
        chunk(b"xtrabackup_tablespaces", b"E")


def upload(b):
    """One request in flight, compared with several, and with no link at all."""
    mib, numbers = (48, (32,)) if b.quick else (256, (2, 4, 8, 16, 32))
    os.environ.update(KEYS)
    stream = b.ram / "stream"
    stream_of(stream, mib)
    amount = stream.stat().st_size
    with Store(b.root, b.ram) as store:
        delete = [b.lsnap, "cloud", "delete", "--repo", "s3://bench/p", NAME, "-p", "8", *store.reach(store.port)]

        def forget_it():
            subprocess.run([str(c) for c in delete], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def put(parallel, port=store.slow, where=""):
            command = [b.lsnap, "cloud", "put", "--repo", "s3://bench/p", NAME, "-p", parallel, *store.reach(port)]
            return Contestant(f"lsnap, --parallel {parallel}{where}", [command], amount, stdin=stream, before=forget_it)

        def get(parallel, port=store.slow, where=""):
            command = [b.lsnap, "cloud", "get", "--repo", "s3://bench/p", NAME, "-p", parallel, *store.reach(port)]
            return Contestant(f"lsnap, --parallel {parallel}{where}", [command], amount)

        for what, make in (("upload", put),) if b.quick else (("upload", put), ("download", get)):
            if what == "download":
                put(32, store.port).once(count=False)
            one, direct = make(1), make(numbers[-1], store.port, ", no link")
            text = (f"{what} of {amount // 1_000_000} MB in objects of 2 MiB, round trip {RTT_MS} ms, {LINK_MB_S} MB/s, "
                    "--parallel {}")
            over = [make(n) for n in numbers]
            yield [*(Job(f"{what}, {n}", text.format(n), each, [one]) for n, each in zip(numbers, over)),
                   Job(f"{what}, no link", text.format(numbers[-1]), over[-1], [direct])]


def small(b):
    """Tables of 112 KiB, one object each, compared with packs: packs save one round trip for each table."""
    files = 400 if b.quick else 2000
    os.environ.update(KEYS)
    datadir, amount = b.made(b.ram, files * 112 // 1024, files)
    with Store(b.root, b.ram) as store:
        runs = iter(range(1, 1000))

        def copy(name, *more):
            # Nothing is overwritten, so each run has its own directory.
            def command():
                to = ["--repo", f"s3://bench/small-{next(runs)}", "--endpoint", f"http://127.0.0.1:{store.slow}"]
                return [b.offline("copy", datadir, *to, "--uploads", 4, *more)]

            def place():
                contestant.commands = command()

            contestant = Contestant(name, command(), amount, before=place)
            return contestant

        text = f"full copy of {files} tables of 112 KiB to a store, round trip {RTT_MS} ms, {LINK_MB_S} MB/s, 4 uploads"
        yield Job("upload of small tables", text, copy("lsnap, packs", "--pack"), [copy("lsnap, an object a table")])


ALL = {"upload": upload, "small-upload": small}
