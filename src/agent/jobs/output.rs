//! What the process of a job prints: a document on standard output, lines on standard error.

use super::job::{Error, Progress};
use serde::Deserialize;

/// The longest document in bytes. A longer one is not kept.
const MAX_DOCUMENT: usize = 1 << 20;
/// The longest line in bytes. A longer one is split.
const MAX_LINE: usize = 16 << 10;

/// The document, while it arrives.
#[derive(Debug, Default)]
pub(super) struct Document {
    bytes: Vec<u8>,
    is_too_long: bool,
}

/// What a document says.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// A document: the result and the error.
    Document {
        /// The result; `null` if the command has none.
        result: Option<serde_json::Value>,
        /// The error.
        error: Option<Error>,
    },
    /// It is longer than [`MAX_DOCUMENT`].
    TooLong,
    /// It is none: the text of the failure.
    Nothing(String),
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "lsnap")]
    _lsnap: String,
    #[serde(default)]
    result: Option<serde_json::Value>,
    #[serde(default)]
    error: Option<ErrorDocument>,
}

#[derive(Deserialize)]
struct ErrorDocument {
    kind: String,
    message: String,
    #[serde(default)]
    hint: Option<String>,
}

impl Document {
    /// Takes more of it.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.is_too_long || self.bytes.len() + bytes.len() > MAX_DOCUMENT {
            self.is_too_long = true;
            self.bytes = Vec::new();
            return;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns its size in bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Returns what it says.
    pub(super) fn read(&self) -> Said {
        if self.is_too_long {
            return Said::TooLong;
        }
        match serde_json::from_slice::<Envelope>(&self.bytes) {
            Ok(found) => Said::Document {
                result: found.result,
                error: found.error.map(|error| Error {
                    kind: error.kind,
                    message: error.message,
                    hint: error.hint,
                }),
            },
            Err(_) if self.bytes.is_empty() => Said::Nothing("nothing".to_owned()),
            Err(error) => Said::Nothing(format!("no document of lsnap ({error})")),
        }
    }
}

/// A line of standard error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line of `--progress json`.
    Progress(Progress),
    /// Any other, with its end.
    Text(Vec<u8>),
}

/// Standard error, cut into lines.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Takes more bytes, and calls `each` with every line that is complete.
    pub(super) fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(Line)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(MAX_LINE) {
                self.0.extend_from_slice(piece);
                if piece.ends_with(b"\n") || self.0.len() >= MAX_LINE {
                    each(line(std::mem::take(&mut self.0)));
                }
            }
        }
    }

    /// Calls `each` with the last line if it has no end.
    pub(super) fn end(&mut self, each: &mut dyn FnMut(Line)) {
        if !self.0.is_empty() {
            each(line(std::mem::take(&mut self.0)));
        }
    }
}

#[derive(Deserialize)]
struct JsonLine {
    r#type: String,
    #[serde(default)]
    phase: String,
    #[serde(default)]
    done_bytes: u64,
    #[serde(default)]
    total_bytes: Option<u64>,
    #[serde(default)]
    message: String,
}

fn line(mut bytes: Vec<u8>) -> Line {
    if bytes.starts_with(b"{\"type\":")
        && let Ok(found) = serde_json::from_slice::<JsonLine>(&bytes)
    {
        match found.r#type.as_str() {
            "progress" => {
                return Line::Progress(Progress {
                    phase: found.phase,
                    bytes: found.done_bytes,
                    total: found.total_bytes,
                });
            }
            "note" => return Line::Text((found.message + "\n").into_bytes()),
            _ => {}
        }
    }
    if !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    Line::Text(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<Line> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for part in parts {
            lines.push(part, &mut |line| found.push(line));
        }
        lines.end(&mut |line| found.push(line));
        found
    }

    fn text(text: &str) -> Line {
        Line::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_are_cut_whatever_the_reads_are() {
        let progress = br#"{"type":"progress","phase":"copy","done_bytes":5,"total_bytes":9,"bytes_per_second":null}"#;
        let note = br#"{"type":"note","message":"a \"b\""}"#;
        let all = [b"one\n", &progress[..], b"\n", &note[..], b"\ntwo"].concat();
        let expected = [
            text("one\n"),
            Line::Progress(Progress {
                phase: "copy".to_owned(),
                bytes: 5,
                total: Some(9),
            }),
            text("a \"b\"\n"),
            text("two\n"),
        ];
        assert_eq!(lines(&[&all]), expected);
        for at in 0..all.len() {
            assert_eq!(lines(&[&all[..at], &all[at..]]), expected, "{at}");
        }
    }

    #[test]
    fn a_line_without_end_is_split() {
        let long = vec![b'x'; 10 * MAX_LINE + 1];
        let found = lines(&[&long]);
        assert_eq!(found.len(), 11);
        let bytes = |line: &Line| match line {
            Line::Text(text) => text.len(),
            Line::Progress(_) => 0,
        };
        assert!(found.iter().all(|line| bytes(line) <= MAX_LINE + 1));
    }

    #[test]
    fn a_document_is_a_result_an_error_or_both() {
        let said = |text: &str| {
            let mut document = Document::default();
            document.push(text.as_bytes());
            document.read()
        };
        let both = said(
            r#"{"lsnap":"1","schema":1,"command":"verify","result":{"a":1},
                "error":{"kind":"damaged","message":"m","hint":null,"exit_code":13}}"#,
        );
        let Said::Document { result, error } = both else {
            panic!("{both:?}")
        };
        assert_eq!(result.unwrap()["a"], 1);
        assert_eq!(error.unwrap().kind, "damaged");
        assert_eq!(
            said(r#"{"lsnap":"1","result":null}"#),
            Said::Document {
                result: None,
                error: None
            }
        );
        assert!(matches!(said(""), Said::Nothing(_)));
        assert!(
            matches!(said("{}"), Said::Nothing(_)),
            "a document of another program"
        );
        let mut long = Document::default();
        for _ in 0..=MAX_DOCUMENT / 1000 {
            long.push(&[b' '; 1000]);
        }
        long.push(b"{}");
        assert_eq!((long.read(), long.size()), (Said::TooLong, 0));
    }
}
