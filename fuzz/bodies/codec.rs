//! zstd and lz4: the input as frames, and the input as data to compress.

use super::Dribble;
use lsnap::codec::{Compression, Decompressor, Format, compress, decompress};
use std::io::Read;

/// Largest output that is accepted, in bytes.
const MAX: usize = 256 << 10;

/// Decompresses zstd frames. If the library's own reader of concatenated frames accepts them too,
/// the output must be the same.
pub fn zstd(data: &[u8]) {
    let read = agree(Format::Zstd, data);
    // input without any frame is an empty file to lsnap, but an error to the library
    if let Some(plain) = read.filter(|_| !data.is_empty()) {
        // (libzstd is stricter about empty blocks with the whole frame than with a stream)
        if let Ok(theirs) = zstd::stream::decode_all(data) {
            assert_eq!(theirs, plain);
        }
        if let Ok(Some(said)) = zstd::zstd_safe::get_frame_content_size(data) {
            assert!(
                plain.len() as u64 >= said,
                "{} of {said} bytes",
                plain.len()
            );
        }
    }
    let level = data.first().map_or(1, |first| i32::from(first % 5) - 1);
    let level = if level == 0 { 1 } else { level };
    there_and_back(Compression::Zstd { level }, Format::Zstd, data);
}

/// Decompresses lz4 frames.
pub fn lz4(data: &[u8]) {
    agree(Format::Lz4, data);
    there_and_back(Compression::Lz4, Format::Lz4, data);
}

/// Decompresses in one call, streaming, and streaming with short reads and small buffers: all
/// results must be the same.
fn agree(format: Format, data: &[u8]) -> Option<Vec<u8>> {
    let at_once = decompress(format, data, MAX);
    if let Ok(plain) = &at_once {
        assert!(plain.len() <= MAX);
    }
    let streams: [Box<dyn Read + '_>; 2] = [Box::new(data), Box::new(Dribble::new(data))];
    for (cut, inner) in streams.into_iter().enumerate() {
        let mut reader = Decompressor::new(format, inner);
        let mut plain = Vec::new();
        let read = read_some(&mut reader, &mut plain, if cut == 0 { 8192 } else { 509 });
        match (&at_once, read) {
            (Ok(all), Ok(())) => assert_eq!(all, &plain, "streaming returns other bytes"),
            (Err(_), Ok(())) => {
                assert!(plain.len() > MAX, "only streaming accepts it: {at_once:?}")
            }
            (Ok(_), Err(error)) => panic!("only streaming refuses it: {error}"),
            (Err(all), Err(error)) if plain.len() <= MAX => {
                let sort = |text: &str| text.contains("cut off");
                assert_eq!(
                    sort(&all.to_string()),
                    sort(&error.to_string()),
                    "{all} or {error}"
                );
                assert_eq!(reader.read(&mut [0; 8]).expect("it ended"), 0);
            }
            (Err(_), Err(_)) => {}
        }
    }
    at_once.ok()
}

/// Reads until the end, an error, or more than [`MAX`] bytes.
fn read_some(reader: &mut impl Read, out: &mut Vec<u8>, step: usize) -> std::io::Result<()> {
    let mut buffer = vec![0; step];
    while out.len() <= MAX {
        match reader.read(&mut buffer)? {
            0 => break,
            read => out.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(())
}

fn there_and_back(how: Compression, format: Format, data: &[u8]) {
    let frame = compress(how, data).expect("any data can be compressed");
    assert_eq!(
        decompress(format, &frame, data.len()).expect("it was just compressed"),
        data
    );
    if !data.is_empty() {
        assert!(decompress(format, &frame, data.len() - 1).is_err());
    }
    let cut = &frame[..frame.len() - 1];
    assert!(
        decompress(format, cut, data.len()).is_err(),
        "a truncated frame was accepted"
    );
    let twice = [&frame[..], &frame[..]].concat();
    assert_eq!(
        decompress(format, &twice, 2 * data.len()).expect("two frames"),
        [data, data].concat()
    );
}
