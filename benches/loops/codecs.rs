//! Compression and encryption of a file's bytes.

use super::made::Sum;
use super::{Loop, Scale, run, table};
use lsnap::codec::xbcrypt::{self, Algorithm, Key};
use lsnap::codec::{Compression, Format, compress, decompress};

pub fn loops(scale: Scale) -> Vec<Loop> {
    let data = run(&table(16384, Sum::Crc32, scale.bytes));
    let zstd = |level| Compression::Zstd { level };
    let mut loops = Vec::new();
    for (name, how) in [
        ("zstd -1", zstd(1)),
        ("zstd -3", zstd(3)),
        ("zstd -9", zstd(9)),
        ("lz4", Compression::Lz4),
    ] {
        let data = data.clone();
        loops.push(Loop::bytes(
            format!("compress/{name}"),
            data.len(),
            move || compress(how, &data).map_or(0, |out| out.len()),
        ));
    }
    for (name, how, format) in [
        ("zstd", zstd(1), Format::Zstd),
        ("lz4", Compression::Lz4, Format::Lz4),
    ] {
        let (max, small) = (data.len(), compress(how, &data).expect("it compresses"));
        loops.push(Loop::bytes(format!("decompress/{name}"), max, move || {
            decompress(format, &small, max).map_or(0, |out| out.len())
        }));
    }
    for algorithm in [Algorithm::Aes128, Algorithm::Aes256] {
        let key = Key::new(algorithm, &[7; 32][..algorithm.key_len()]).expect("a key");
        let (data, name) = (data.clone(), algorithm.name());
        let (max, own) = (data.len(), key.clone());
        let secret = xbcrypt::encrypt(&key, xbcrypt::CHUNK, &data).expect("it encrypts");
        loops.push(Loop::bytes(format!("encrypt/{name}"), max, move || {
            xbcrypt::encrypt(&key, xbcrypt::CHUNK, &data).map_or(0, |out| out.len())
        }));
        loops.push(Loop::bytes(format!("decrypt/{name}"), max, move || {
            xbcrypt::decrypt(&own, &secret, max).map_or(0, |out| out.len())
        }));
    }
    loops
}
