"""Describes the machine of the measurements."""
import os, pathlib, platform, re, shutil, subprocess

from . import servers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def said(*command):
    """Returns the first output line of a program, or None if it is missing."""
    if not shutil.which(command[0]):
        return None
    try:
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError:
        return None
    return out.stdout.strip().splitlines()[0] if out.stdout.strip() else None


def field(path, pattern):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(), re.M)
    except OSError:
        return None
    return found.group(1).strip() if found else None


def disk_of(path):
    """Returns file system, device, and the kernel's settings of the device."""
    found = {"path": str(path)}
    best = ""
    for line in open("/proc/self/mounts"):
        device, mount, kind = line.split()[:3]
        if os.path.realpath(path).startswith(mount.rstrip("/") + "/") and len(mount) >= len(best):
            best = mount
            found |= {"device": device, "filesystem": kind}
    name = os.path.basename(os.path.realpath(found.get("device", "")))
    block = pathlib.Path("/sys/class/block") / name
    # the settings of a partition are those of its disk
    for place in (block, block.resolve().parent):
        if (place / "queue").is_dir():
            for key in ("scheduler", "rotational", "nr_requests", "read_ahead_kb"):
                found[key] = field(place / "queue" / key, r"(.*)")
            break
    stat = os.statvfs(path)
    found["free_gib"] = round(stat.f_bavail * stat.f_frsize / 2**30, 1)
    return found


def describe(directory, memory):
    flags = (field("/proc/cpuinfo", r"^flags\s*:(.*)$") or "").split()
    wanted = ("sse4_2", "pclmulqdq", "aes", "avx2", "avx512f", "avx512vl", "vpclmulqdq", "vaes")
    return {
        "cpu": field("/proc/cpuinfo", r"^model name\s*:(.*)$") or platform.processor(),
        "cpu_has": [flag for flag in wanted if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(field("/proc/meminfo", r"^MemTotal:\s*(\d+)") or 0) / 2**20, 1),
        "load_before": os.getloadavg()[0],
        "kernel": platform.release(),
        "disk": disk_of(directory),
        "ram_disk": disk_of(memory),
        "versions": {
            "lsnap": said("git", "describe", "--always", "--dirty"),
            "rustc": said("rustc", "--version"),
            "mbstream": said("mbstream", "--version"),
            "mysqld": said(str(servers.sandbox(ROOT) / "mysql" / "bin" / "mysqld"), "--no-defaults", "--version"),
            "mariadbd": said("mariadbd", "--version"),
            "mariadb-backup": said("mariadb-backup", "--version"),
            "zstd": said("zstd", "--version"),
            "lz4": said("lz4", "--version"),
            "cp": said("cp", "--version"),
            "dd": said("dd", "--version"),
        },
    }
