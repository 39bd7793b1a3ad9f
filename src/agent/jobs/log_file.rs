//! The log of a job: what its process writes to standard error, in a file of bounded size.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The most bytes of a log.
pub(super) const MAX: usize = 1 << 20;
/// The bytes of the beginning, and of the end, that are kept if a log would be longer.
const KEPT: usize = MAX / 4;

/// The log of a job. A log that can't be written doesn't end the job: its first failure is reported.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    /// Bytes in the file.
    size: usize,
    /// Bytes of the beginning, once bytes after it were left out.
    head: Option<usize>,
    /// Bytes that were left out.
    left_out: u64,
}

impl LogFile {
    /// Creates the file, which only this account can read.
    pub(super) fn create(path: &Path) -> Self {
        let mut this = Self {
            path: path.to_owned(),
            file: None,
            size: 0,
            head: None,
            left_out: 0,
        };
        let created = new_file(path);
        this.file = this.checked(created);
        this
    }

    /// Appends whole lines.
    pub(super) fn append(&mut self, lines: &[u8]) {
        if self.size + lines.len() > MAX {
            let shortened = self.shorten();
            let _done = self.checked(shortened);
        }
        let Some(file) = &mut self.file else { return };
        let written = file.write_all(lines);
        self.size += lines.len();
        let _done = self.checked(written);
    }

    /// Returns a result, without its error, which is reported and ends the log.
    fn checked<T>(&mut self, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let path = self.path.display();
                tracing::warn!("{path}: the log of this job is not complete: {error}");
                self.file = None;
                None
            }
        }
    }

    /// Removes the middle: the beginning has the settings of the job, and the end has its failure.
    fn shorten(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        let all = std::fs::read(&self.path)?;
        let head = self.head.unwrap_or_else(|| end_of_line(&all, KEPT));
        let tail = all.len().saturating_sub(KEPT).max(head);
        let tail = end_of_line(&all, tail);
        // The note of the last time is in the part that is left out: its bytes are not those of the job.
        let note_before = self.head.map_or(0, |_| note(self.left_out).len());
        self.left_out += (tail - head).saturating_sub(note_before) as u64;
        let note = note(self.left_out);
        let (head_bytes, tail_bytes) = (&all[..head], &all[tail..]);
        let shortened = [head_bytes, note.as_bytes(), tail_bytes].concat();
        // A reader of the file sees the old or the new one.
        let beside = self.path.with_extension("new");
        let _absent = std::fs::remove_file(&beside);
        let mut file = new_file(&beside)?;
        file.write_all(&shortened)?;
        std::fs::rename(&beside, &self.path)?;
        self.file = Some(file);
        self.size = shortened.len();
        self.head = Some(head);
        Ok(())
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Returns the position after the first end of a line from `from` on, or `from` if there is none.
fn end_of_line(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n');
    end.map_or(from.min(bytes.len()), |end| from + end + 1)
}

/// Returns the line in place of bytes that were left out. Its length is always the same.
fn note(left_out: u64) -> String {
    format!("[left out here, in bytes: {left_out:>20}]\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut log = LogFile::create(&path);
        let mut total = 0;
        for number in 0..100_000 {
            let line = format!("line {number} {}\n", "x".repeat(50));
            total += line.len();
            log.append(line.as_bytes());
            assert!(log.size <= MAX);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() <= MAX && text.len() == log.size);
        assert!(text.starts_with("line 0 x") && text.contains("line 99999 x"));
        let notes: Vec<&str> = text.lines().filter(|l| !l.starts_with("line ")).collect();
        assert_eq!(notes.len(), 1, "{notes:?}");
        // Every byte is in the file or counted.
        assert_eq!(
            text.len() - note(0).len() + usize::try_from(log.left_out).unwrap(),
            total
        );
        // The end has no gap.
        let last: Vec<usize> = text.lines().rev().take(1000).map(number).collect();
        assert!(last.windows(2).all(|pair| pair[0] == pair[1] + 1));
        assert!(!dir.path().join("a.new").exists());
    }

    fn number(line: &str) -> usize {
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn a_log_without_line_ends_is_bounded_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut log = LogFile::create(&path);
        for _ in 0..100 {
            log.append(&[b'y'; 1 << 16]);
        }
        assert!(std::fs::metadata(&path).unwrap().len() <= MAX as u64);
    }

    #[test]
    fn a_directory_that_is_gone_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::create(&dir.path().join("gone/a.log"));
        log.append(b"text\n");
    }
}
