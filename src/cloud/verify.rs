//! Whether an object holds what its name says.

use bytes::Bytes;

use super::whole::{self, Coverage};
use crate::xbstream::{self, Chunk};

/// Checks every chunk of an object: its CRC, that it belongs to `path`, and that the file's end stands
/// at the very end of its last object and nowhere else. Gives the ranges of the file that it holds, in
/// order, neighbours joined. The error says what was found and expected.
pub(super) fn verify(bytes: &Bytes, path: &str, last: bool) -> Result<Vec<(u64, u64)>, String> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut ended = false;
    for chunk in xbstream::chunks(bytes.clone()) {
        let chunk = chunk.map_err(|e| e.to_string())?;
        if chunk.path() != path {
            return Err(format!(
                "it holds a chunk of {}, expected {path}",
                chunk.path().escape_debug()
            ));
        }
        if ended {
            return Err("a chunk follows the end chunk".to_owned());
        }
        if chunk.is_order() {
            return Err(
                "it holds a chunk that changes other files, which no object does".to_owned(),
            );
        }
        ended = matches!(chunk, Chunk::End { .. });
        match (whole::range(&chunk), ranges.last_mut()) {
            (Some((offset, len)), Some(before)) if before.0 + before.1 == offset => before.1 += len,
            (Some(range), _) if range.1 > 0 => ranges.push(range),
            _ => {}
        }
    }
    match (ended, last) {
        (true, false) => Err("it holds the end chunk, but higher indices follow".to_owned()),
        (false, true) => Err(
            "it is the last object of the file and holds no end chunk: later ones were lost, or the \
             backup was cut off"
                .to_owned(),
        ),
        _ if bytes.is_empty() => Err("it is empty".to_owned()),
        _ => Ok(ranges),
    }
}

/// Adds an object's ranges to what came of its file before; with its last object, all must be there.
pub(super) fn join(
    coverage: &mut Coverage,
    ranges: &[(u64, u64)],
    last: bool,
) -> Result<(), String> {
    for (offset, len) in ranges {
        coverage.add(*offset, *len)?;
    }
    if last { coverage.finish() } else { Ok(()) }
}
