//! Finds holes in files, which need not be read.

use super::DatadirError;
use super::file::PositionedFile;
use crate::innodb::PageSize;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::ops::Range;

/// Maximum length of a data range, in bytes. Page-compressed tables have a hole in every page;
/// their data is merged up to this length, so that one call doesn't scan the whole file.
const LONGEST: u64 = 64 << 20;

/// Implements [`PageReader::next_data`](super::PageReader::next_data); `end` is the end of the last
/// whole page in bytes.
pub(super) fn next_data(
    file: &PositionedFile,
    page_size: PageSize,
    offset: u64,
    end: u64,
) -> Result<Option<Range<u64>>, DatadirError> {
    let size = page_size.bytes() as u64;
    let from = offset / size * size;
    if from >= end {
        return Ok(None);
    }
    let mut found: Option<Range<u64>> = None;
    let mut at = from;
    while at < end {
        let data = match seek(file, SeekFrom::Data(at))? {
            Seek::Found(data) if data < end => data,
            Seek::Unsupported => return Ok(Some(from..end)),
            Seek::Found(_) => break,
            Seek::Nothing => {
                refuse_shrunk(file, at, end)?;
                break;
            }
        };
        let start = data / size * size;
        if found.as_ref().is_some_and(|range| range.end != start) {
            break;
        }
        // From the data itself: the start of its page may be a hole.
        let hole = match seek(file, SeekFrom::Hole(data))? {
            Seek::Found(hole) => hole.next_multiple_of(size).min(end),
            Seek::Unsupported => return Ok(Some(from..end)),
            Seek::Nothing => {
                refuse_shrunk(file, data, end)?;
                end
            }
        };
        // The end is after the start, even if the file changes between the two calls.
        at = hole.max(start + size).min(end);
        found = Some(found.map_or(start, |range| range.start)..at);
        if found
            .as_ref()
            .is_some_and(|range| range.end - range.start >= LONGEST)
        {
            break;
        }
    }
    Ok(found)
}

/// Returns an error if the file became shorter: then a seek also finds nothing but a hole.
fn refuse_shrunk(file: &PositionedFile, offset: u64, end: u64) -> Result<(), DatadirError> {
    let found_end = file.len()?;
    if found_end >= end {
        return Ok(());
    }
    Err(DatadirError::Shrunk {
        path: file.path().to_owned(),
        offset,
        end,
        found_end,
    })
}

enum Seek {
    Found(u64),
    Nothing,
    Unsupported,
}

/// Seeks. This moves the file's cursor, which has no effect: all reads are positioned.
fn seek(file: &PositionedFile, to: SeekFrom) -> Result<Seek, DatadirError> {
    match rustix::fs::seek(file.file(), to) {
        Ok(at) => Ok(Seek::Found(at)),
        Err(Errno::NXIO) => Ok(Seek::Nothing),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Seek::Unsupported),
        Err(e) => Err(DatadirError::io("find holes in", file.path())(e.into())),
    }
}
