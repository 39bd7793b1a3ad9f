"""Runs contestants in turn, and measures their time and memory."""
import contextlib, os, pathlib, re, shutil, signal, statistics, subprocess, sys, threading, time

# A phase of `--progress plain`, and not of the report after it.
PHASE = re.compile(r"(?!page tracking)[A-Za-z -]{1,20}")
TICK = os.sysconf("SC_CLK_TCK")


class Contestant:
    """One program, or several concurrent ones, that do the same job.

    `commands` are lists of arguments; `stdin` is a file for the first command. `fresh` is a directory that is
    created before each run and removed after it; `cold` are files that must not be in the page cache. `before` is
    called before each run and not timed. If a server does work for the program (or all of the work), `server` is
    its process id, and its processor time counts. The phases that a program with `--progress plain` prints are
    recorded with their times.
    """

    def __init__(self, name, commands, amount, fresh=None, cold=(), stdin=None, before=None, server=None):
        self.name, self.commands, self.amount = name, commands, amount
        self.fresh, self.cold, self.stdin, self.before, self.server = fresh, cold, stdin, before, server
        self.seconds, self.cpu, self.peak_kib, self.anon_kib = [], [], 0, 0
        self.phases = {} if [str(c) for c in commands[0]].count("plain") else None

    def prepare(self):
        if self.fresh:
            shutil.rmtree(self.fresh, ignore_errors=True)
            os.makedirs(self.fresh)
            os.chmod(self.fresh, 0o755)  # a server that root starts is another user
        if self.before:
            self.before()
        for path in self.cold:
            forget(path)
        # Dirty pages of other processes must not count.
        os.sync()

    def once(self, count=True):
        self.prepare()
        elsewhere = processor_time(self.server)
        begun = time.monotonic()
        children = []
        for command in self.commands:
            source = open(self.stdin, "rb") if self.stdin else subprocess.DEVNULL
            children.append(subprocess.Popen([str(c) for c in command], stdin=source,
                                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                             start_new_session=True))
        looks = [Memory(child.pid) for child in children]
        try:
            ends = [self.reap(child, begun if count else None) for child in children]
        except BaseException:
            for child in children:
                end(child)
            raise
        taken = time.monotonic() - begun
        looks = [look.end() for look in looks]
        if count:
            self.seconds.append(taken)
            self.cpu.append(sum(used.ru_utime + used.ru_stime for used in ends) + processor_time(self.server) - elsewhere)
            # ru_maxrss is exact, but it includes this interpreter before the exec, and the
            # program's own children.
            own = sum(look[0] or used.ru_maxrss for look, used in zip(looks, ends))
            self.peak_kib, self.anon_kib = max(self.peak_kib, own), max(self.anon_kib, sum(look[1] for look in looks))
        if self.fresh:
            shutil.rmtree(self.fresh)

    def reap(self, child, begun):
        complaint, said = b"", set()
        for line in child.stderr:
            complaint = (complaint + line)[-3000:]
            phase = line.decode(errors="replace").split(":")[0].strip()
            if self.phases is not None and begun and phase not in said and re.fullmatch(PHASE, phase):
                said.add(phase)
                self.phases.setdefault(phase, []).append(time.monotonic() - begun)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"{self.name}: {child.args} exited with {child.returncode}: "
                     f"{complaint.decode(errors='replace')}")
        return used

    def result(self):
        median = statistics.median(self.seconds)
        return {
            "name": self.name, "median": median, "seconds": self.seconds, "bytes": self.amount,
            "mb_s": self.amount / median / 1e6, "cpu_seconds": statistics.median(self.cpu),
            "peak_mib": round(self.peak_kib / 1024, 1), "peak_anonymous_mib": round(self.anon_kib / 1024, 1),
            "commands": [[str(c) for c in one] for one in self.commands],
            **({"phases": self.begins()} if self.phases else {}),
        }

    def begins(self):
        """Returns the phases of most runs, and their start times."""
        most = len(self.seconds) / 2
        medians = {name: statistics.median(at) for name, at in self.phases.items() if len(at) > most}
        return dict(sorted(medians.items(), key=lambda phase: phase[1]))


class Memory(threading.Thread):
    """Samples a process a hundred times per second: its peak, and the peak without mapped files, in KiB."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.over = f"/proc/{pid}/status", threading.Event()
        self.peak = self.anonymous = 0
        self.start()

    def run(self):
        while not self.over.wait(0.01):
            try:
                text = pathlib.Path(self.path).read_text()
            except OSError:
                return
            found = dict(re.findall(r"^(VmHWM|RssAnon):\s*(\d+)", text, re.M))
            self.peak = max(self.peak, int(found.get("VmHWM", 0)))
            self.anonymous = max(self.anonymous, int(found.get("RssAnon", 0)))

    def end(self):
        self.over.set()
        self.join()
        return self.peak, self.anonymous


def end(child):
    """Stops a program and its children; it gets time to clean up."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(20)
        os.killpg(child.pid, signal.SIGKILL)


def processor_time(pid):
    """Returns the processor time of a process so far, in seconds; 0 without a process."""
    if pid is None:
        return 0
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Job:
    """One row of the table: `ours` compared with the fastest of `peers`."""

    def __init__(self, name, text, ours, peers, wanted=None):
        self.name, self.text, self.ours, self.peers, self.wanted = name, text, ours, peers, wanted

    def row(self):
        ours, peers = self.ours.result(), [peer.result() for peer in self.peers]
        best = max(peers, key=lambda peer: peer["mb_s"])
        return {"job": self.name, "text": self.text, "ours": ours, "peers": peers, "against": best["name"],
                "ratio": ours["mb_s"] / best["mb_s"], "wanted": self.wanted, "runs": len(self.ours.seconds)}


def turns(jobs, runs, warm):
    """Runs the contestants of several jobs in turn, so that other work of the machine affects all of them
    equally. With `warm`, all of them run once before, without timing."""
    everybody = list({id(each): each for job in jobs for each in [job.ours, *job.peers]}.values())
    for each in everybody if warm else []:
        each.once(count=False)
    for _ in range(runs):
        for each in everybody:
            each.once()
    return [job.row() for job in jobs]


def forget(path):
    """Writes a file to disk and removes it from the page cache."""
    for one in [path] if os.path.isfile(path) else (p for p in pathlib.Path(path).rglob("*") if p.is_file()):
        handle = os.open(one, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
