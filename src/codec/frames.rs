//! zstd and lz4: one frame for each range, any number of frames in a file.
//!
//! Written frames (`docs/format/wrapping.md`) are such that xtrabackup's readers and the programs
//! `zstd` and `lz4` read them:
//!
//! ```text
//! zstd  frame with content size and content checksum
//! lz4   04 22 4d 18 | FLG 6c: version 01, independent blocks, content size, content checksum, no block
//!       checksums | BD | content size u64 | header checksum | blocks (an incompressible one has the
//!       high bit of its length set) | 00 00 00 00 | xxh32 of the content
//! ```
//!
//! Accepted input: concatenated frames of any tool, skippable frames included. The window of a
//! frame is at most 128 MiB (`zstd --long=27`). The content length in a frame header doesn't cause
//! an allocation.

use super::CodecError;
use crate::counted::count;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use std::fmt;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::str::FromStr;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// Largest window of a zstd frame that is accepted, as a power of two.
const WINDOW_LOG_MAX: u32 = 27;
/// The longest frame header of either format, in bytes. zstd must get a header in one piece: if the
/// header comes in pieces, the library may take the last piece for the start of the frame (a
/// shortcut in `ZSTD_decompressStream` for frames that are complete in memory).
const HEADER_MAX: usize = 19;
/// Bytes that are requested from the source at a time.
const BUFFER: usize = 128 << 10;

/// The compression of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// zstd.
    Zstd {
        /// The level: 1 (fast) to 19 (small); negative levels are faster still.
        level: i32,
    },
    /// lz4, which has only one level here.
    Lz4,
}

impl Compression {
    /// Returns the suffix that is added to the name of a file.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Zstd { .. } => ".zst",
            Self::Lz4 => ".lz4",
        }
    }

    /// Returns the name of the format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd { .. } => "zstd",
            Self::Lz4 => "lz4",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zstd { level } => write!(f, "zstd:{level}"),
            Self::Lz4 => f.write_str("lz4"),
        }
    }
}

impl FromStr for Compression {
    type Err = CodecError;

    fn from_str(text: &str) -> Result<Self, CodecError> {
        let wrong = || CodecError::BadSpec {
            found: text.to_owned(),
            what: "compression",
            expected: "zstd, zstd:LEVEL (-7 to 19) or lz4 (which has no levels here)",
        };
        match text.split_once(':') {
            None if text == "zstd" => Ok(Self::Zstd { level: 1 }),
            None if text == "lz4" => Ok(Self::Lz4),
            Some(("zstd", level)) => match level.parse() {
                Ok(level @ (-7..=-1 | 1..=19)) => Ok(Self::Zstd { level }),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

/// The formats that can be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// zstd frames.
    Zstd,
    /// lz4 frames.
    Lz4,
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "a zstd frame",
            Self::Lz4 => "an lz4 frame",
        }
    }
}

/// Compresses `data` into exactly one frame.
///
/// # Errors
/// [`CodecError::Failed`] if the library returns an error, which is not expected.
pub fn compress(how: Compression, data: &[u8]) -> Result<Vec<u8>, CodecError> {
    match how {
        Compression::Zstd { level } => zstd_frame(level, data).map_err(|e| failed("compress", &e)),
        Compression::Lz4 => lz4_frame(data).map_err(|e| failed("compress", &e)),
    }
}

fn failed(what: &'static str, why: &dyn fmt::Display) -> CodecError {
    CodecError::Failed {
        what,
        why: why.to_string(),
    }
}

fn zstd_frame(level: i32, data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    compressor.include_checksum(true)?;
    compressor.include_contentsize(true)?;
    compressor.compress(data)
}

fn lz4_frame(data: &[u8]) -> Result<Vec<u8>, lz4_flex::frame::Error> {
    let info = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB)
        .content_size(Some(data.len() as u64))
        .content_checksum(true);
    let out = Vec::with_capacity(data.len() / 2 + 64);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder
        .write_all(data)
        .map_err(lz4_flex::frame::Error::IoError)?;
    encoder.finish()
}

/// Decompresses all frames of `data`. The result has at most `max` bytes.
///
/// # Errors
/// [`CodecError::Truncated`], [`CodecError::Damaged`], [`CodecError::NotA`],
/// [`CodecError::TooLarge`].
pub fn decompress(format: Format, data: &[u8], max: usize) -> Result<Vec<u8>, CodecError> {
    let mut reader = Decompressor::new(format, data);
    // The content length in a frame header is only a hint and must not cause an allocation.
    let mut out = Vec::with_capacity(max.min(data.len().saturating_mul(4)));
    let read = (&mut reader)
        .take(max as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|error| reader.error(error))?;
    if read > max {
        return Err(CodecError::TooLarge {
            at: 0,
            what: format!(
                "{} decompress to more than {max}",
                count(data.len(), "byte")
            ),
            max: max as u64,
        });
    }
    Ok(out)
}

/// Reads the content of any number of concatenated frames. Its errors are [`CodecError`]s in
/// [`std::io::Error`]s.
pub struct Decompressor<R: Read> {
    format: Format,
    frames: Option<Frame<R>>,
    /// Bytes that the frame has returned so far.
    given: u64,
    failed: bool,
}

enum Frame<R: Read> {
    /// Between two frames.
    Between(Counted<R>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Counted<R>>>),
    Lz4(Box<FrameDecoder<Counted<R>>>),
}

impl<R: Read> fmt::Debug for Decompressor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decompressor({:?})", self.format)
    }
}

/// A source that counts the bytes read and can be peeked. It repeats interrupted reads, because
/// `lz4_flex` can't continue within a block after such an error.
struct Counted<R: Read> {
    inner: BufReader<R>,
    /// Peeked bytes, which precede the next bytes of `inner`.
    ahead: Vec<u8>,
    at: u64,
    /// Offset of the current frame, in bytes.
    frame: u64,
    /// True after a read at the end of the input.
    ended: bool,
    /// The content length from the frame header, if present. libzstd doesn't detect missing content
    /// if the last block is empty.
    content: Option<u64>,
}

impl<R: Read> Counted<R> {
    /// Peeks the next [`HEADER_MAX`] bytes; fewer only at the end.
    fn look(&mut self) -> std::io::Result<&[u8]> {
        while self.ahead.len() < HEADER_MAX {
            let more = filled(&mut self.inner)?;
            let take = more.len().min(HEADER_MAX - self.ahead.len());
            if take == 0 {
                break;
            }
            self.ahead.extend_from_slice(&more[..take]);
            self.inner.consume(take);
        }
        Ok(&self.ahead)
    }
}

/// Same as `fill_buf`, but repeats interrupted reads.
fn filled<R: Read>(inner: &mut BufReader<R>) -> std::io::Result<&[u8]> {
    // (the borrow checker rejects a loop around `fill_buf` itself)
    if inner.buffer().is_empty() {
        loop {
            match inner.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
    }
    Ok(inner.buffer())
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let there = self.fill_buf()?;
        let length = there.len().min(buffer.len());
        buffer[..length].copy_from_slice(&there[..length]);
        self.consume(length);
        self.ended |= length == 0 && !buffer.is_empty();
        Ok(length)
    }
}

impl<R: Read> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.ahead.is_empty() {
            return filled(&mut self.inner);
        }
        Ok(&self.ahead)
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount as u64;
        if self.ahead.is_empty() {
            self.inner.consume(amount);
        } else {
            self.ahead.drain(..amount.min(self.ahead.len()));
        }
    }
}

impl<R: Read> Decompressor<R> {
    /// Creates a reader of frames of `format` in `inner`.
    pub fn new(format: Format, inner: R) -> Self {
        let source = Counted {
            inner: BufReader::with_capacity(BUFFER, inner),
            ahead: Vec::with_capacity(HEADER_MAX),
            at: 0,
            frame: 0,
            ended: false,
            content: None,
        };
        Self {
            format,
            frames: Some(Frame::Between(source)),
            given: 0,
            failed: false,
        }
    }

    fn at(&self) -> u64 {
        match &self.frames {
            Some(Frame::Between(source)) => source.frame,
            Some(Frame::Zstd(decoder)) => decoder.get_ref().frame,
            Some(Frame::Lz4(decoder)) => decoder.get_ref().frame,
            None => 0,
        }
    }

    /// Converts an error of the library.
    fn error(&self, error: std::io::Error) -> CodecError {
        let error = match error.downcast::<CodecError>() {
            Ok(ours) => return ours,
            Err(other) => other,
        };
        let at = self.at();
        let text = error.to_string();
        if error.kind() == std::io::ErrorKind::UnexpectedEof || text.contains("incomplete frame") {
            return CodecError::Truncated {
                at,
                part: self.format.name(),
            };
        }
        // The message of libzstd for a window larger than the limit.
        if text.contains("too much memory") {
            return CodecError::Unsupported {
                at,
                what: format!(
                    "a frame with a window of more than 2^{WINDOW_LOG_MAX} bytes, which is not read here: unpack \
                     it with `zstd -d --long=31`"
                ),
            };
        }
        // The messages of the two libraries.
        if text.contains("Dictionary mismatch") || text.contains("DictionaryNotSupported") {
            let tool = match self.format {
                Format::Zstd => "zstd",
                Format::Lz4 => "lz4",
            };
            return CodecError::Unsupported {
                at,
                what: format!(
                    "a frame that was made with a dictionary, which is not read here: unpack it with `{tool} -d -D \
                     DICTIONARY`"
                ),
            };
        }
        CodecError::Damaged {
            at,
            what: format!("{}: {text}", self.format.name()),
        }
    }

    /// Checks that a frame that ended had the content length of its header.
    fn whole(&self, source: &Counted<R>) -> Result<(), CodecError> {
        match source.content {
            Some(content) if content != self.given => Err(CodecError::Damaged {
                at: source.frame,
                what: format!(
                    "{} has {} of content, its header has {content}",
                    self.format.name(),
                    count(self.given, "byte")
                ),
            }),
            _ => Ok(()),
        }
    }

    fn step(&mut self, buffer: &mut [u8]) -> std::io::Result<Option<usize>> {
        match self.frames.take() {
            None => Ok(Some(0)),
            Some(Frame::Between(source)) => {
                let (frame, done) = begin(self.format, source)?;
                self.frames = Some(frame);
                self.given = 0;
                Ok(done.then_some(0))
            }
            Some(Frame::Zstd(mut decoder)) => {
                let read = decoder.read(buffer);
                self.given += *read.as_ref().unwrap_or(&0) as u64;
                self.frames = Some(match read {
                    // The end of a frame.
                    Ok(0) => {
                        let source = decoder.finish();
                        self.whole(&source)?;
                        Frame::Between(source)
                    }
                    _ => Frame::Zstd(decoder),
                });
                read.map(|n| (n > 0).then_some(n))
            }
            Some(Frame::Lz4(mut decoder)) => {
                let read = decoder.read(buffer);
                // The library takes the end of input between two blocks, or after the magic, for
                // the end of the frame.
                let cut = decoder.get_ref().ended;
                self.frames = Some(match read {
                    Ok(0) if !cut => Frame::Between(decoder.into_inner()),
                    _ => Frame::Lz4(decoder),
                });
                match read? {
                    0 if cut => Err(std::io::ErrorKind::UnexpectedEof.into()),
                    0 => Ok(None),
                    read => Ok(Some(read)),
                }
            }
        }
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.failed || buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.step(buffer) {
                Ok(Some(read)) => return Ok(read),
                Ok(None) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let error = self.error(error);
                    self.failed = true;
                    return Err(error.into());
                }
            }
        }
    }
}

/// Begins the next frame, or detects the end. Skippable frames are skipped.
fn begin<R: Read>(format: Format, mut source: Counted<R>) -> std::io::Result<(Frame<R>, bool)> {
    loop {
        source.frame = source.at;
        let start = source.look()?;
        if start.is_empty() {
            return Ok((Frame::Between(source), true));
        }
        let Some(&magic) = start.first_chunk::<4>() else {
            return Err(CodecError::Truncated {
                at: source.frame,
                part: format.name(),
            }
            .into());
        };
        match format {
            Format::Zstd if magic == ZSTD_MAGIC => {
                source.content = zstd::zstd_safe::get_frame_content_size(start).unwrap_or(None);
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?.single_frame();
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                return Ok((Frame::Zstd(Box::new(decoder)), false));
            }
            Format::Lz4 if magic == LZ4_MAGIC => {
                return Ok((Frame::Lz4(Box::new(FrameDecoder::new(source))), false));
            }
            // 50 2a 4d 18 to 5f 2a 4d 18, in both formats
            _ if magic[0] & 0xf0 == 0x50 && magic[1..] == [0x2a, 0x4d, 0x18] => skip(&mut source)?,
            _ => return Err(no_frame(format, source.frame, magic).into()),
        }
    }
}

fn no_frame(format: Format, at: u64, found: [u8; 4]) -> CodecError {
    if format == Format::Lz4 && found == LZ4_LEGACY {
        return CodecError::Unsupported {
            at,
            what:
                "a frame of the legacy lz4 format, which is not read here: unpack it with `lz4 -d`"
                    .to_owned(),
        };
    }
    CodecError::NotA {
        format: format.name(),
        at,
        found: found.to_vec(),
        expected: match format {
            Format::Zstd => "28 b5 2f fd",
            Format::Lz4 => "04 22 4d 18",
        },
    }
}

/// Skips a skippable frame.
fn skip<R: Read>(source: &mut Counted<R>) -> std::io::Result<()> {
    let at = source.frame;
    let cut = || CodecError::Truncated {
        at,
        part: "a skippable frame",
    };
    let mut head = [0; 8];
    if read_up_to(source, &mut head)? < head.len() {
        return Err(cut().into());
    }
    let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
    let skipped = std::io::copy(&mut source.take(length), &mut std::io::sink())?;
    if skipped < length {
        return Err(cut().into());
    }
    Ok(())
}

/// Fills `buffer`, or as much of it as the input has before its end.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
