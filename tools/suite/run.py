"""Runs contestants in turn and times them."""
import os, pathlib, shutil, statistics, subprocess, sys, time


class Contestant:
    """A program, or several beside each other, that do one and the same job.

    `commands` are lists of arguments; `stdin` a file for the first of them. `fresh` is a directory that is
    made new before each run and gone after it; `cold` are files that must not be in the page cache.
    """

    def __init__(self, name, commands, amount, fresh=None, cold=(), stdin=None):
        self.name, self.commands, self.amount = name, commands, amount
        self.fresh, self.cold, self.stdin = fresh, cold, stdin
        self.seconds, self.peak_kib, self.cpu = [], 0, []

    def once(self, count=True):
        if self.fresh:
            shutil.rmtree(self.fresh, ignore_errors=True)
            os.makedirs(self.fresh)
        for path in self.cold:
            forget(path)
        begun = time.monotonic()
        children = []
        for command in self.commands:
            source = open(self.stdin, "rb") if self.stdin else subprocess.DEVNULL
            children.append(subprocess.Popen([str(c) for c in command], stdin=source,
                                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        peak = cpu = 0
        for child in children:
            complaint = child.stderr.read()
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                sys.exit(f"{self.name}: {child.args} ends with {child.returncode}: {complaint.decode(errors='replace')}")
            peak, cpu = peak + used.ru_maxrss, cpu + used.ru_utime + used.ru_stime
        if count:
            self.seconds.append(time.monotonic() - begun)
            self.peak_kib, self.cpu = max(self.peak_kib, peak), self.cpu + [cpu]
        if self.fresh:
            shutil.rmtree(self.fresh)

    def result(self):
        median = statistics.median(self.seconds)
        return {
            "name": self.name, "median": median, "seconds": self.seconds, "bytes": self.amount,
            "mb_s": self.amount / median / 1e6, "cpu_seconds": statistics.median(self.cpu),
            "peak_mib": round(self.peak_kib / 1024, 1), "commands": [[str(c) for c in one] for one in self.commands],
        }


class Job:
    """One row of the table: `ours` against the fastest of `peers`."""

    def __init__(self, name, text, ours, peers, wanted=None):
        self.name, self.text, self.ours, self.peers, self.wanted = name, text, ours, peers, wanted

    def run(self, runs):
        """All of them once without a clock, then in turn, so that what else the machine does hits all alike."""
        everybody = [self.ours, *self.peers]
        for each in everybody:
            each.once(count=False)
        for _ in range(runs):
            for each in everybody:
                each.once()
        ours, peers = self.ours.result(), [peer.result() for peer in self.peers]
        best = max(peers, key=lambda peer: peer["mb_s"])
        return {"job": self.name, "text": self.text, "ours": ours, "peers": peers, "against": best["name"],
                "ratio": ours["mb_s"] / best["mb_s"], "wanted": self.wanted, "runs": runs}


def forget(path):
    """Writes a file out and takes it from the page cache."""
    for one in [path] if os.path.isfile(path) else (p for p in pathlib.Path(path).rglob("*") if p.is_file()):
        handle = os.open(one, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
