//! How the bytes of a file are compressed and encrypted before they are stored (`docs/format/wrapping.md`).

use super::Wrapping;
use crate::codec::xbcrypt::{self, Key};
use crate::codec::{self, CodecError, Compression};
use bytes::Bytes;

/// What is done to the bytes of a file: first compressed, then encrypted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wrap<'a> {
    pub(crate) compression: Option<Compression>,
    pub(crate) key: Option<&'a Key>,
}

impl Wrap<'_> {
    /// Whether the bytes stay as they are.
    pub(crate) const fn is_none(&self) -> bool {
        self.compression.is_none() && self.key.is_none()
    }

    /// The entry of a manifest; `None` if the bytes stay as they are.
    pub(crate) fn wrapping(&self) -> Option<Wrapping> {
        (!self.is_none()).then(|| Wrapping {
            compression: self.compression.map(Into::into),
            encryption: self.key.map(|key| key.algorithm().into()),
        })
    }

    /// The path under which the file `name` is stored.
    pub(crate) fn path(&self, name: &str) -> String {
        let mut path = name.to_owned();
        if let Some(how) = self.compression {
            path += how.suffix();
        }
        if self.key.is_some() {
            path += ".xbcrypt";
        }
        path
    }

    /// Whole frames of at most `frame` bytes each, in whole xbcrypt chunks. Without bytes it is one empty frame, because
    /// readers refuse a compressed file without any.
    ///
    /// # Errors
    /// The error of the codec.
    pub(crate) fn wrap(&self, data: Bytes, frame: usize) -> Result<Bytes, CodecError> {
        let mut data = data;
        if let Some(how) = self.compression {
            data = compress(how, &data, frame)?;
        }
        if let Some(key) = self.key
            && !data.is_empty()
        {
            data = Bytes::from(xbcrypt::encrypt(key, xbcrypt::CHUNK, &data)?);
        }
        Ok(data)
    }
}

fn compress(how: Compression, data: &[u8], frame: usize) -> Result<Bytes, CodecError> {
    if data.len() <= frame {
        return Ok(Bytes::from(codec::compress(how, data)?));
    }
    let mut frames = Vec::new();
    for part in data.chunks(frame) {
        frames.extend_from_slice(&codec::compress(how, part)?);
    }
    Ok(Bytes::from(frames))
}
