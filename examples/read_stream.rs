//! Lists the files of an xbstream from standard input, with their lengths; checks every checksum.
//!
//! `lsnap backup --stream | cargo run --example read_stream`

use lsnap::xbstream::{Chunk, Reader};
use std::collections::BTreeMap;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut open = BTreeMap::<String, u64>::new();
    for chunk in Reader::new(std::io::stdin().lock()) {
        let chunk = chunk?;
        if let Some((_, end)) = chunk.range() {
            let length = open.entry(chunk.path().to_owned()).or_default();
            *length = end.max(*length);
        }
        if let Chunk::End { path } = chunk {
            println!("{path}: {} bytes", open.remove(&path).unwrap_or(0));
        }
    }
    match open.keys().next() {
        None => Ok(()),
        Some(path) => Err(format!("the stream ended before the end of {path}").into()),
    }
}
