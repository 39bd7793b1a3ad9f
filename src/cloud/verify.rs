//! Checks that an object has the contents that its name says.

use bytes::Bytes;

use super::whole::{self, Coverage};
use crate::xbstream::{self, Chunk};

/// Checks every chunk of an object: its CRC, its path, and that the file's end chunk is the last
/// chunk of its last object and occurs nowhere else. Returns the ranges of the file in the object,
/// in order, with adjacent ranges joined. The error says what was found and what was expected.
pub(super) fn verify(bytes: &Bytes, path: &str, last: bool) -> Result<Vec<(u64, u64)>, String> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut ended = false;
    for chunk in xbstream::chunks(bytes.clone()) {
        let chunk = chunk.map_err(|e| e.to_string())?;
        if chunk.path() != path {
            return Err(format!(
                "it has a chunk of {}, expected {path}",
                chunk.path().escape_debug()
            ));
        }
        if ended {
            return Err("a chunk follows the end chunk".to_owned());
        }
        if chunk.is_order() {
            return Err(
                "it has a chunk that changes other files, which is not valid in an object"
                    .to_owned(),
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
        (true, false) => Err("it has the end chunk, but higher indices follow".to_owned()),
        (false, true) => Err(
            "it is the last object of the file, but has no end chunk: later objects are missing, or the \
             backup was cut off"
                .to_owned(),
        ),
        _ if bytes.is_empty() => Err("it is empty".to_owned()),
        _ => Ok(ranges),
    }
}

/// Adds an object's ranges to those of the earlier objects of its file. With the last object, the
/// file must be complete.
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
