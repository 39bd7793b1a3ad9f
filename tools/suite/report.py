"""Results as a table and as a chart (SVG, written by hand: no libraries)."""
from html import escape

# The memory limit of lsnap, in any job.
PEAK_MIB = 400


def table(result):
    """Returns Markdown: a row for each job, with the ratio of rates to the fastest peer."""
    machine = result["machine"]
    disk = machine["disk"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
        f"{disk.get('filesystem')} on {disk.get('device')}; load before: {machine['load_before']:.1f}; "
        f"lsnap {machine['versions']['lsnap']}; medians of {result['runs']} runs.",
        "",
    ]
    if machine["load_before"] > 0.5:
        lines += ["**The machine was busy with other work: only the processor time is reliable.**", ""]
    lines += [
        "| job | lsnap, MB/s | CPU s/GB | peak MiB | against | its MB/s | CPU s/GB | ratio | wanted |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    cpu = lambda one: f"{one['cpu_seconds'] / one['bytes'] * 1e9:.2f}"
    for job in result["jobs"]:
        peer = next(p for p in job["peers"] if p["name"] == job["against"])
        wanted = f"{job['wanted']:.2g}{'' if job['ratio'] >= job['wanted'] else ' **missed**'}" if job["wanted"] else ""
        ours = job["ours"]
        lines.append(f"| {job['text']} | {ours['mb_s']:.0f} | {cpu(ours)} | {peak(ours)} | {peer['name']} | "
                     f"{peer['mb_s']:.0f} | {cpu(peer)} | {job['ratio']:.2f} | {wanted} |")
    if "duration" in result:
        lines += ["", f"The whole run took {result['duration']:.0f} s."]
    return "\n".join(lines + phases(result)) + "\n"


def peak(one):
    """Returns the peak memory; mapped files belong to the page cache and don't count for the limit."""
    own = one.get("peak_anonymous_mib") or one["peak_mib"]
    mapped = f" ({own:.0f} without mapped files)" if one["peak_mib"] > PEAK_MIB >= own else ""
    return f"{one['peak_mib']:.0f}{mapped}{' **over ' + str(PEAK_MIB) + '**' if own > PEAK_MIB else ''}"


def phases(result):
    """Returns the phases of lsnap, from its progress output, in seconds since its start."""
    lines = {}
    for job in result["jobs"]:
        for one in (one for one in [job["ours"], *job["peers"]] if "phases" in one):
            at = "; ".join(f"{phase} {begun:.2f}" for phase, begun in one["phases"].items())
            lines.setdefault(f"{one['name']}: {at}; end {one['median']:.2f}", job["job"])
    lines = [f"- {job}: {line}" for line, job in lines.items()]
    return ["", "Start of each phase, and end of the run, in seconds (medians):", ""] + lines if lines else []


def chart(result):
    """Returns a bar for each job: the ratio, with a line at 1 and a mark at the target."""
    jobs = result["jobs"]
    left, wide, row = 170, 560, 30
    most = max([1.2] + [max(job["ratio"], job["wanted"] or 0) for job in jobs]) * 1.1
    high = row * len(jobs) + 60
    x = lambda ratio: left + wide * ratio / most
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 70}" height="{high}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="18">rate of lsnap / rate of its fastest peer</text>',
    ]
    for n, job in enumerate(jobs):
        y = 30 + row * n
        met = job["wanted"] is None or job["ratio"] >= job["wanted"]
        out.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(job["job"])}</text>')
        out.append(f'<rect x="{left}" y="{y + 3}" width="{x(job["ratio"]) - left:.1f}" height="{row - 12}" '
                   f'fill="{"#4878a8" if met else "#c05040"}"><title>{escape(job["text"])}</title></rect>')
        out.append(f'<text x="{x(job["ratio"]) + 5:.1f}" y="{y + 16}">{job["ratio"]:.2f}</text>')
        if job["wanted"]:
            at = f'{x(job["wanted"]):.1f}'
            out.append(f'<line x1="{at}" x2="{at}" y1="{y}" y2="{y + row - 6}" stroke="black" stroke-width="2"/>')
    out.append(f'<line x1="{x(1):.1f}" x2="{x(1):.1f}" y1="26" y2="{high - 26}" stroke="#888" stroke-dasharray="4 3"/>')
    out.append(f'<text x="{left}" y="{high - 8}" fill="#555">dashed: equal; black: wanted</text></svg>')
    return "\n".join(out) + "\n"


def compare(before, after):
    """Returns Markdown that compares the same jobs of two results."""
    keys = ("cpu", "cores", "memory_gib", "kernel", "disk")
    drop = lambda m: {k: v for k, v in m.items() if k != "free_gib"} if isinstance(m, dict) else m
    differs = [k for k in keys if drop(before["machine"].get(k)) != drop(after["machine"].get(k))]
    lines = []
    differs += [k for k in ("quick", "table_mib", "server_mib", "threads") if before.get(k) != after.get(k)]
    if differs:
        lines += [f"**The machine or size differs ({', '.join(differs)}): compare ratios, not rates.**", ""]
    lines += ["| job | MB/s before | after | change | ratio before | after |", "|---|---|---|---|---|---|"]
    old = {job["job"]: job for job in before["jobs"]}
    for job in after["jobs"]:
        was = old.pop(job["job"], None)
        if was is None:
            lines.append(f"| {job['job']} | - | {job['ours']['mb_s']:.0f} | new | - | {job['ratio']:.2f} |")
            continue
        change = 100 * (job["ours"]["mb_s"] / was["ours"]["mb_s"] - 1)
        lines.append(f"| {job['job']} | {was['ours']['mb_s']:.0f} | {job['ours']['mb_s']:.0f} | {change:+.0f}% | "
                     f"{was['ratio']:.2f} | {job['ratio']:.2f} |")
    lines += [f"| {name} | {job['ours']['mb_s']:.0f} | - | gone | {job['ratio']:.2f} | - |" for name, job in old.items()]
    return "\n".join(lines) + "\n"
