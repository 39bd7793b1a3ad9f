//! Benchmarks of the hot loops: `cargo bench`, or `cargo bench -- --quick verify` for a quick
//! result.
//!
//! With `LSNAP_COUNT=1` each loop is run once instead, after a first run that fills caches and
//! detects the features of the processor. Each run is one call of [`measured`], which is the
//! function whose instructions `tools/instructions` counts with callgrind.

mod loops;

use criterion::{Criterion, Throughput};
use loops::{Load, Loop, Scale};
use std::hint::black_box;

const TIMED: Scale = Scale {
    bytes: 8 << 20,
    files: 100_000,
    members: 10_000,
};
/// Under callgrind everything takes fifty times longer.
const COUNTED: Scale = Scale {
    bytes: 1 << 20,
    files: 1000,
    members: 500,
};

/// The function whose instructions are counted.
#[inline(never)]
fn measured(run: &mut dyn FnMut() -> usize) -> usize {
    black_box(run())
}

fn count() {
    for mut each in loops::all(COUNTED).into_iter().filter(|each| each.counted) {
        black_box((each.run)());
        black_box(measured(&mut each.run));
        // The order in which callgrind writes its parts.
        let (Load::Bytes(load) | Load::Items(load)) = each.load;
        println!("{load} {}", each.name);
    }
}

fn time(criterion: &mut Criterion, each: &mut Loop) {
    let (group, name) = each.name.split_once('/').unwrap_or(("", &each.name));
    let mut group = criterion.benchmark_group(group);
    group.throughput(match each.load {
        Load::Bytes(bytes) => Throughput::Bytes(bytes),
        Load::Items(items) => Throughput::Elements(items),
    });
    // Slow loops don't run a hundred samples.
    group.sample_size(10);
    group.bench_function(name, |b| b.iter(&mut each.run));
    group.finish();
}

fn main() {
    if std::env::var_os("LSNAP_COUNT").is_some() {
        return count();
    }
    let mut criterion = Criterion::default().configure_from_args();
    for mut each in loops::all(TIMED) {
        time(&mut criterion, &mut each);
    }
    criterion.final_summary();
}
