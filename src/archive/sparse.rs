//! Copying bytes into a new file so that its zeros take no space: what page compression had punched
//! out of a tablespace comes back as holes when the file is decompressed.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

/// Bytes copied at once.
const BUFFER: usize = 1 << 20;
/// What is zero as a whole is left out; the block of most file systems.
const BLOCK: usize = 4096;

/// Which side failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The reader.
    Read(std::io::Error),
    /// The file.
    Write(std::io::Error),
}

/// Copies all that `reader` has into the new, empty `file`, and gives its length in bytes.
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

/// Writes the blocks that are not zero, neighbours at once.
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

/// Reads until the buffer is full or nothing more comes.
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
