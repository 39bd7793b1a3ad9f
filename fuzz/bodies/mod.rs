//! What every fuzz target does with its bytes. The same functions are run by libFuzzer (`fuzz_targets/`) and, on
//! files that are kept, by `tests/fuzz_regressions.rs` on a stable compiler.
//!
//! A body panics when an invariant is broken: a round trip that isn't one, two ways to read the same bytes that
//! disagree, a result that depends on how the bytes were cut into reads. [`run`] adds one for all of them: what is
//! allocated is bounded by the length of the input, whatever the length fields in it say.

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
    /// Its name: that of the file in `fuzz_targets/` and of the folder in `regressions/`.
    pub name: &'static str,
    /// What it does.
    pub body: fn(&[u8]),
    /// The longest input that is tried, in bytes; `tools/fuzz` reads it here.
    pub max_len: usize,
    /// The folders of `testdata/` that it starts from; `tools/fuzz` reads them here.
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

/// All of them. One line each: `tools/fuzz` reads the names, the lengths and the folders.
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
];

/// What a body may hold at one time: this many bytes, and [`FACTOR`] times its input.
const FLOOR: usize = 24 << 20;
const FACTOR: usize = 64;

/// Runs the target `name` on `data`; panics when anything is wrong.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("there is no target {name}"));
    let held = most_held(|| (target.body)(data));
    let allowed = FLOOR + FACTOR * data.len();
    assert!(
        held <= allowed,
        "{name}: {held} bytes were allocated at one time for {} bytes of input, at most {allowed} may be",
        data.len()
    );
}

/// Gives bytes in reads of changing, small lengths, and is interrupted now and then.
pub struct Dribble<'a> {
    data: &'a [u8],
    step: usize,
}

impl<'a> Dribble<'a> {
    /// The cuts depend on nothing but the bytes, so that a find can be found again.
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
        // mostly a few bytes, at times many: long inputs must not take forever
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

/// Little-endian number at `at`, if it is there.
fn le(data: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let field = data.get(at..at.checked_add(bytes)?)?;
    Some(field.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}
