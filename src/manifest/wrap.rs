//! The compression and encryption of files before they are stored (`docs/format/wrapping.md`).

use super::Wrapping;
use crate::codec::xbcrypt::{self, Key};
use crate::codec::{self, CodecError, Compression};
use bytes::Bytes;

/// The compression and encryption of a file, applied in this order.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wrap<'a> {
    pub(crate) compression: Option<Compression>,
    pub(crate) key: Option<&'a Key>,
}

impl Wrap<'_> {
    /// Returns whether the bytes stay unchanged.
    pub(crate) const fn is_none(&self) -> bool {
        self.compression.is_none() && self.key.is_none()
    }

    /// Returns the entry for the manifest; `None` if the bytes stay unchanged.
    pub(crate) fn wrapping(&self) -> Option<Wrapping> {
        (!self.is_none()).then(|| Wrapping {
            compression: self.compression.map(Into::into),
            encryption: self.key.map(|key| key.algorithm().into()),
        })
    }

    /// Returns the path under which the file `name` is stored.
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

    /// Compresses the bytes into whole frames of at most `frame` plain bytes each, and encrypts
    /// these into whole xbcrypt chunks. Empty data becomes one empty frame, because readers refuse
    /// a compressed file without a frame.
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
