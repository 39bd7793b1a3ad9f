//! Opens xbstreams: standard input and output, or FIFOs (`docs/format/xbstream.md#fifos`).

use super::exit::Failure;
use super::exit_code::ExitCode;
use super::interrupt;
use crate::archive::fifo::{self, FifoOptions};
use rustix::fs::{FileType, OFlags, fstat, stat};
use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

/// Options of commands that read or write streams.
#[derive(Debug, clap::Args)]
pub(super) struct Fifos {
    /// Use N streams through the FIFOs `thread_0` to `thread_<N-1>` in --fifo-dir instead of
    /// standard input or output. The program on the other side must use the same number.
    #[arg(long, value_name = "N", requires = "fifo_dir", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) fifo_streams: Option<u16>,
    /// The directory of the FIFOs.
    #[arg(long, value_name = "DIR", requires = "fifo_streams")]
    fifo_dir: Option<PathBuf>,
    /// Wait this long for the program on the other side of the FIFOs, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    fifo_timeout: u64,
}

impl Fifos {
    /// Returns the options of the FIFOs, if streams go through FIFOs.
    fn options(&self) -> Option<FifoOptions> {
        Some(FifoOptions {
            directory: self.fifo_dir.clone()?,
            count: usize::from(self.fifo_streams?),
            timeout: Duration::from_secs(self.fifo_timeout),
            cancel: interrupt::cancel().clone(),
        })
    }

    /// Opens the input streams.
    pub(super) fn inputs(&self) -> Result<Vec<File>, Failure> {
        if let Some(options) = self.options() {
            return Ok(fifo::readers(&options)?);
        }
        Ok(vec![standard_input()?])
    }

    /// Opens the output streams.
    pub(super) fn outputs(&self) -> Result<Vec<File>, Failure> {
        if let Some(options) = self.options() {
            return Ok(fifo::writers(&options)?);
        }
        Ok(vec![standard_output()?])
    }
}

/// Returns standard input for a stream.
pub(super) fn standard_input() -> Result<File, Failure> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Err(Failure::arguments(
            "standard input is a terminal: pipe an xbstream into it".to_owned(),
        ));
    }
    // Without the buffer of std: chunks are read directly into their memory.
    let input = rustix::io::dup(&input)
        .map_err(|e| Failure::internal(format!("cannot use standard input: {e}")))?;
    Ok(File::from(input))
}

/// Returns whether a descriptor was closed when the program started: Rust's runtime then opens
/// /dev/null for it, for reading and writing, and a backup would succeed without storing a byte.
fn leads_nowhere(output: &impl AsFd) -> bool {
    let flags = rustix::fs::fcntl_getfl(output);
    let both = flags.is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDWR);
    let (Ok(found), Ok(null)) = (fstat(output), stat("/dev/null")) else {
        return false;
    };
    both && found.st_rdev == null.st_rdev && FileType::from_raw_mode(found.st_mode).is_char_device()
}

/// Syncs standard output if it is a file: some file systems report only then that there was no space for the data, and
/// a caller may remove the original after this program has succeeded.
pub(super) fn sync_output() -> Result<(), Failure> {
    let output = super::output::terminal();
    let is_file =
        fstat(&output).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file());
    if !is_file {
        return Ok(());
    }
    rustix::fs::fsync(&output).map_err(|error| {
        Failure::with_code(
            ExitCode::Failed,
            format!("standard output could not be written to the disk: {error}; what is there is incomplete"),
        )
    })
}

/// Returns standard output for a stream.
pub(super) fn standard_output() -> Result<File, Failure> {
    let output = super::output::terminal();
    if output.is_terminal() {
        return Err(Failure::arguments(
            "standard output is a terminal: send the xbstream into a pipe or a file".to_owned(),
        ));
    }
    if leads_nowhere(&output) {
        return Err(Failure::arguments(
            "standard output is closed, or /dev/null that was opened for reading and writing: send the xbstream \
             into a pipe or a file (`>/dev/null` is accepted)"
                .to_owned(),
        ));
    }
    // Without the buffer of std: every write is a complete chunk.
    let output = rustix::io::dup(&output)
        .map_err(|e| Failure::internal(format!("cannot use standard output: {e}")))?;
    Ok(File::from(output))
}
