//! The bodies of all fuzz targets. libFuzzer (`fuzz_targets/`) runs these functions, and
//! `tests/fuzz_regressions.rs` runs them on stored inputs with a stable compiler.
//!
//! A body panics if an invariant is violated: a round trip changes the data, two ways to read the
//! same bytes disagree, or a result depends on how the bytes were split into reads. [`run`] adds
//! one invariant for all targets: the memory allocated is bounded by the length of the input,
//! independent of its length fields.

mod allocation;
mod codec;
mod delta;
mod innodb;
mod store;
mod text;
mod xbcrypt;
mod xbstream;

pub use allocation::{Counting, most_held};

use std::io::Read;

/// One target.
pub struct Target {
    /// Its name, which is also the name of the file in `fuzz_targets/` and of the folder in
    /// `regressions/`.
    pub name: &'static str,
    /// The function to run.
    pub body: fn(&[u8]),
    /// The longest input to try, in bytes; `tools/fuzz` reads it here.
    pub max_len: usize,
    /// The folders of `testdata/` with its seeds; `tools/fuzz` reads them here.
    pub corpora: &'static [&'static str],
}

const fn target(
    name: &'static str,
    body: fn(&[u8]),
    max_len: usize,
    corpora: &'static [&'static str],
) -> Target {
    Target {
        name,
        body,
        max_len,
        corpora,
    }
}

/// All targets. One line each, because `tools/fuzz` reads the names, the lengths and the folders.
#[rustfmt::skip]
pub const TARGETS: &[Target] = &[
    target("xbstream", xbstream::readers, 65536, &["xbstream"]),
    target("archive", xbstream::listing, 65536, &["xbstream"]),
    target("delta", delta::delta, 65536, &["delta"]),
    target("meta", delta::meta, 4096, &["delta"]),
    target("xbcrypt", xbcrypt::chunks, 16384, &["xbcrypt"]),
    target("zstd", codec::zstd, 16384, &["codec"]),
    target("lz4", codec::lz4, 16384, &["codec"]),
    target("manifest", store::manifest, 49152, &["manifest"]),
    target("names", text::names, 1024, &["names"]),
    target("options", text::options, 4096, &["options"]),
    target("versions", text::versions, 2048, &["versions"]),
    target("binlog", store::binlog, 16384, &["binlog"]),
    target("innodb", innodb::pages, 16384, &["pages"]),
    target("redo", innodb::redo, 8192, &["redo"]),
    target("checkpoints", text::checkpoints, 4096, &["checkpoints"]),
    target("tablespaces", text::tablespaces, 4096, &["tablespaces"]),
];

/// The memory limit of a body: this many bytes, plus [`FACTOR`] times its input.
const FLOOR: usize = 24 << 20;
const FACTOR: usize = 64;

/// Runs the target `name` on `data`; panics if an invariant is violated.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("target {name} does not exist"));
    let held = most_held(|| (target.body)(data));
    let allowed = FLOOR + FACTOR * data.len();
    assert!(
        held <= allowed,
        "{name}: {held} bytes were allocated at one time for {} bytes of input, at most {allowed} are allowed",
        data.len()
    );
}

/// Returns bytes in reads of varying, small lengths, with occasional interruptions.
pub struct Dribble<'a> {
    data: &'a [u8],
    step: usize,
}

impl<'a> Dribble<'a> {
    /// The split depends only on the bytes, so that a finding is reproducible.
    pub fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            step: data.len(),
        }
    }
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.step = self.step.wrapping_mul(25_214_903).wrapping_add(11);
        let random = self.step >> 16;
        if random % 64 == 63 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        // mostly a few bytes, sometimes many, so that long inputs don't take too long
        let most = if random.is_multiple_of(4) {
            4096
        } else {
            1 + random % 23
        };
        let length = most.min(buffer.len()).min(self.data.len());
        let (now, later) = self.data.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.data = later;
        Ok(length)
    }
}

/// Returns the little-endian number at `at`, if the input is long enough.
fn le(data: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let field = data.get(at..at.checked_add(bytes)?)?;
    Some(field.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}
