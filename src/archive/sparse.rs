//! Copies bytes into a new file, with holes for blocks of zeros: the holes of page compression in a tablespace
//! are restored when the file is decompressed.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

/// Number of bytes copied at once.
const BUFFER: usize = 1 << 20;
/// Blocks of this size that are all zero become holes; the block size of most file systems in bytes.
const BLOCK: usize = 4096;

/// The side that failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The reader.
    Read(std::io::Error),
    /// The file.
    Write(std::io::Error),
}

/// Copies all bytes of `reader` into the new, empty `file`, and returns its length in bytes.
pub(super) fn copy(reader: &mut dyn Read, file: &File) -> Result<u64, Fault> {
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    loop {
        let filled = fill(reader, &mut buffer).map_err(Fault::Read)?;
        write(file, at, &buffer[..filled]).map_err(Fault::Write)?;
        at += filled as u64;
        if filled < BUFFER {
            file.set_len(at).map_err(Fault::Write)?;
            return Ok(at);
        }
    }
}

/// Writes the blocks that are not zero, adjacent blocks at once.
fn write(file: &File, at: u64, data: &[u8]) -> std::io::Result<()> {
    let mut from = 0;
    while from < data.len() {
        let run = |zero: bool, from: usize| {
            let blocks = data[from..].chunks(BLOCK);
            let same = blocks.take_while(|block| is_zero(block) == zero);
            from + same.map(<[u8]>::len).sum::<usize>()
        };
        let start = run(true, from);
        let end = run(false, start);
        file.write_all_at(&data[start..end], at + start as u64)?;
        from = end;
    }
    Ok(())
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|&byte| byte == 0)
}

/// Reads until the buffer is full or the reader ends.
pub(super) fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
