//! Codecs and their commands with the real programs: `zstd`, `lz4`, `openssl`, and `mbstream` for
//! the streams around them. Each side reads the output of the other, byte for byte.
#![allow(clippy::unwrap_used)]

mod common;

use common::program::{PROGRAM as LSNAP, fed};
use lsnap::codec::xbcrypt::{self, Algorithm, Key};
use lsnap::codec::{Compression, compress};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ZSTD: Compression = Compression::Zstd { level: 1 };

fn run(program: &str, args: &[&str], input: &[u8]) -> Output {
    fed(Command::new(program).args(args), input)
}

fn good(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let out = run(program, args, input);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {said}");
    out.stdout
}

#[track_caller]
fn refused(args: &[&str], input: &[u8], code: i32, words: &[&str]) {
    common::program::refused(&run(LSNAP, args, input), code, words);
}

/// Bytes that are partly compressible, in lengths around every unit of the formats.
fn samples() -> Vec<Vec<u8>> {
    let mut random = 88172645463325252u64;
    let mut noise = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as u8
    };
    let mut make = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|at| {
                if at / 5000 % 2 == 0 {
                    noise()
                } else {
                    (at / 700) as u8
                }
            })
            .collect()
    };
    // Not 65535: `lz4 -B4` of version 1.9.4 fails on a block that is one byte short.
    [0, 1, 65000, 65536, 65537, 9 << 20].map(&mut make).into()
}

/// Compresses as a backup does: one frame for each range, and one without content for an empty
/// file.
fn frames(how: Compression, data: &[u8]) -> Vec<u8> {
    if data.is_empty() {
        return compress(how, data).unwrap();
    }
    let ranges = data.chunks(1 << 20);
    ranges
        .flat_map(|range| compress(how, range).unwrap())
        .collect()
}

#[test]
fn the_programs_read_what_lsnap_compresses() {
    for data in samples() {
        assert!(good("zstd", &["-dcq"], &frames(ZSTD, &data)) == data);
        let nineteen = Compression::Zstd { level: 19 };
        if data.len() < 1 << 20 {
            assert!(good("zstd", &["-dcq"], &frames(nineteen, &data)) == data);
        }
        if !data.is_empty() {
            good("zstd", &["-tq"], &frames(ZSTD, &data));
            good("lz4", &["-tq"], &frames(Compression::Lz4, &data));
        }
        assert!(good("lz4", &["-dcq"], &frames(Compression::Lz4, &data)) == data);
    }
}

/// With `lsnap xbstream -x --decompress`, from a stream that mbstream created, and in place.
#[test]
fn lsnap_reads_what_the_programs_compress() {
    let room = tempfile::tempdir().unwrap();
    let mut expected = BTreeMap::new();
    let stored = room.path().join("stored");
    std::fs::create_dir(&stored).unwrap();
    let zstd: [&[&str]; 6] = [
        &["-1"],
        &["-19"],
        &["--long=27", "-3"],
        &["-T2", "-3"],
        &["--no-check"],
        &["--fast=5"],
    ];
    let lz4: [&[&str]; 9] = [
        &["-1"],
        &["-9"],
        &["-BD"],
        &["-B4"],
        &["-B5"],
        &["-B6"],
        &["-B7", "-BD"],
        &["--no-frame-crc"],
        &["-BX"],
    ];
    for (number, data) in samples().into_iter().enumerate() {
        let large = data.len() > 1 << 20;
        let sets = [("zstd", "zst", &zstd[..]), ("lz4", "lz4", &lz4[..])];
        for (program, suffix, settings) in sets {
            for (way, args) in settings.iter().enumerate() {
                if large && args.contains(&"-19") {
                    continue;
                }
                let packed = good(program, &[&["-cq"][..], args].concat(), &data);
                let name = format!("t{number}-{way}-{program}.ibd");
                std::fs::write(stored.join(format!("{name}.{suffix}")), packed).unwrap();
                expected.insert(name, data.clone());
            }
        }
    }
    // Concatenated frames, with a skippable frame between them.
    let twice = [
        good("zstd", &["-cq"], b"one "),
        [
            &0x184D_2A53u32.to_le_bytes()[..],
            &3u32.to_le_bytes(),
            b"???",
        ]
        .concat(),
        good("zstd", &["-cq"], b"two"),
    ]
    .concat();
    std::fs::write(stored.join("twice.zst"), twice).unwrap();
    expected.insert("twice".to_owned(), b"one two".to_vec());
    let twice = [
        good("lz4", &["-cq", "-BD"], b"one "),
        good("lz4", &["-cq", "--content-size"], b"two"),
    ]
    .concat();
    std::fs::write(stored.join("twice-lz4.lz4"), twice).unwrap();
    expected.insert("twice-lz4".to_owned(), b"one two".to_vec());

    let names: Vec<String> = tree(&stored).into_keys().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let dir = stored.to_str().unwrap();
    let stream = good("mbstream", &[&["-c", "-C", dir][..], &names].concat(), b"");
    let out = room.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let into = out.to_str().unwrap();
    good(
        LSNAP,
        &["xbstream", "-x", "-p2", "--decompress", "-C", into],
        &stream,
    );
    assert!(tree(&out) == expected);

    let mut both = tree(&stored);
    both.extend(expected.clone());
    good(LSNAP, &["decompress", dir], b"");
    assert!(tree(&stored) == both);
    // A second run finds all files done, and then removes the originals.
    let said = good(LSNAP, &["decompress", dir, "--remove-original"], b"");
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("already there"), "{said}");
    assert!(tree(&stored) == expected);
}

fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn unsupported_files_are_not_decompressed() {
    let room = tempfile::tempdir().unwrap();
    let dir = room.path().to_str().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        for entry in std::fs::read_dir(room.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        std::fs::write(room.path().join(name), bytes).unwrap();
    };
    let alone = |name: &str| {
        let names = tree(room.path()).into_keys().collect::<Vec<_>>();
        assert_eq!(names, [name], "files were left behind");
    };
    put("t.ibd.lz4", &good("lz4", &["-lcq"], &[7; 100_000]));
    refused(&["decompress", dir], b"", 13, &["t.ibd.lz4", "legacy"]);
    put("t.ibd.qp", b"qpress10");
    refused(
        &["decompress", dir],
        b"",
        1,
        &["t.ibd.qp", "quicklz", "qpress"],
    );
    put("t.ibd.zst.xbcrypt", b"XBCRYP03");
    refused(
        &["decompress", dir],
        b"",
        1,
        &["t.ibd.zst.xbcrypt", "lsnap decrypt"],
    );
    let whole = good("zstd", &["-cq"], &[7; 100_000]);
    put("t.ibd.zst", &whole[..whole.len() - 1]);
    refused(&["decompress", dir], b"", 13, &["t.ibd.zst"]);
    alone("t.ibd.zst");
    put("t.ibd.zst", &[&whole[..], b"more"].concat());
    refused(&["decompress", dir], b"", 13, &["t.ibd.zst"]);
    alone("t.ibd.zst");
    // Without checksums and lengths, and cut between two blocks: only the end mark is missing.
    let blocks = good("lz4", &["-cq", "--no-frame-crc", "-B4"], &[7; 200_000]);
    put("t.ibd.lz4", &blocks[..blocks.len() - 4]);
    refused(&["decompress", dir], b"", 13, &["t.ibd.lz4", "cut off"]);
    alone("t.ibd.lz4");
    put("t.ibd.lz4", b"");
    refused(&["decompress", dir], b"", 13, &["t.ibd.lz4", "cut off"]);
    // A window of 2 GiB.
    put(
        "t.ibd.zst",
        &good(
            "zstd",
            &["-cq", "--ultra", "--long=31", "-1"],
            &[7; 100_000],
        ),
    );
    refused(&["decompress", dir], b"", 13, &["t.ibd.zst", "window"]);
    // A file of the user, and a file that a killed run left.
    put("t.ibd.zst", &whole);
    std::fs::write(room.path().join("t.ibd"), b"mine").unwrap();
    refused(&["decompress", dir], b"", 11, &["t.ibd exists already"]);
    assert_eq!(std::fs::read(room.path().join("t.ibd")).unwrap(), b"mine");
    std::fs::remove_file(room.path().join("t.ibd")).unwrap();
    let left = &blake3::hash(b"t.ibd").to_hex()[..16];
    std::fs::write(room.path().join(format!(".lsnap-unwrap-{left}")), b"half").unwrap();
    good(LSNAP, &["decompress", dir, "--remove-original"], b"");
    assert_eq!(
        tree(room.path()),
        BTreeMap::from([("t.ibd".to_owned(), vec![7; 100_000])])
    );
}

/// The two steps of an encrypted and compressed backup; every original is kept, as xtrabackup does.
#[test]
fn decrypted_and_then_decompressed() {
    let room = tempfile::tempdir().unwrap();
    let dir = room.path().join("dir");
    std::fs::create_dir_all(dir.join("db")).unwrap();
    let secret = [0x61; 32];
    let key = Key::new(Algorithm::Aes256, &secret).unwrap();
    let file = room.path().join("key");
    std::fs::write(&file, secret).unwrap();
    let data = &samples()[5];
    let stored = xbcrypt::encrypt(&key, xbcrypt::CHUNK, &frames(ZSTD, data)).unwrap();
    std::fs::write(dir.join("db/t.ibd.zst.xbcrypt"), stored).unwrap();
    let (path, file) = (dir.to_str().unwrap(), file.to_str().unwrap());
    good(LSNAP, &["decrypt", path, "--encrypt-key-file", file], b"");
    let said = good(LSNAP, &["--json", "decompress", path], b"");
    let report = common::program::result(&said);
    assert_eq!(report["files"], 1);
    assert_eq!(report["bytes"], data.len());
    assert!(std::fs::read(dir.join("db/t.ibd")).unwrap() == *data);
    assert_eq!(tree(&dir.join("db")).len(), 3);
}

/// A run that is killed at any moment leaves only complete files under their names, and the next
/// run succeeds without manual steps.
#[test]
fn killed_and_run_again() {
    let room = tempfile::tempdir().unwrap();
    let dir = room.path().to_str().unwrap();
    let data = &samples()[5];
    let packed = frames(ZSTD, data);
    for number in 0..8 {
        std::fs::write(room.path().join(format!("t{number}.ibd.zst")), &packed).unwrap();
    }
    for seen in 1..6 {
        let mut child = Command::new(LSNAP)
            .args(["decompress", dir, "--remove-original", "-p2"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // As soon as a private file exists, and at different moments after that.
        let private = |name: &String| name.starts_with(".lsnap-unwrap-");
        let names = || std::fs::read_dir(room.path()).unwrap();
        let names = || names().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut polls = 0;
        while polls < seen * seen && child.try_wait().unwrap().is_none() {
            polls += u32::from(names().any(|name| private(&name)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for name in names().filter(|name| name.ends_with(".ibd")) {
            assert!(
                std::fs::read(room.path().join(&name)).unwrap() == *data,
                "{name}"
            );
        }
    }
    good(LSNAP, &["decompress", dir, "--remove-original"], b"");
    let found = tree(room.path());
    assert_eq!(found.len(), 8, "{:?}", found.keys());
    assert!(found.values().all(|found| found == data));
}

/// The holes of page compression are holes again.
#[test]
fn zeros_become_holes_again() {
    use std::os::unix::fs::MetadataExt;
    let room = tempfile::tempdir().unwrap();
    let mut data = vec![0; 8 << 20];
    data[5 << 20] = 1;
    let packed = compress(ZSTD, &data).unwrap();
    std::fs::write(room.path().join("t.ibd.zst"), packed).unwrap();
    good(LSNAP, &["decompress", room.path().to_str().unwrap()], b"");
    let path = room.path().join("t.ibd");
    assert!(std::fs::read(&path).unwrap() == data);
    assert!(path.metadata().unwrap().blocks() * 512 < 1 << 20);
}

const KEYS: [(Algorithm, &str, usize); 3] = [
    (Algorithm::Aes128, "aes-128-ctr", 16),
    (Algorithm::Aes192, "aes-192-ctr", 24),
    (Algorithm::Aes256, "aes-256-ctr", 32),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every chunk is parsed by hand (`docs/format/wrapping.md#xbcrypt`) and decrypted by openssl; the
/// result is the bytes and their SHA-256.
#[test]
fn openssl_decrypts_what_lsnap_encrypts() {
    for (algorithm, name, length) in KEYS {
        let secret: Vec<u8> = (0..length as u8)
            .map(|n| n.wrapping_mul(37) ^ 0x5A)
            .collect();
        let key = Key::new(algorithm, &secret).unwrap();
        for data in samples().into_iter().filter(|data| data.len() < 1 << 20) {
            let file = xbcrypt::encrypt(&key, xbcrypt::CHUNK, &data).unwrap();
            let mut rest = &file[..];
            let mut plain = Vec::new();
            while !rest.is_empty() {
                let number = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap());
                assert_eq!(&rest[..8], b"XBCRYP03");
                assert_eq!(number(8), 0);
                let (original, encrypted) = (number(16) as usize, number(24) as usize);
                let crc = u32::from_le_bytes(rest[32..36].try_into().unwrap());
                assert_eq!((original, number(36)), (encrypted, 16));
                let iv = &rest[44..60];
                let text = &rest[60..60 + encrypted];
                assert_eq!(crc32fast::hash(text), crc);
                let args = [
                    "enc",
                    "-d",
                    &format!("-{name}"),
                    "-K",
                    &hex(&secret),
                    "-iv",
                    &hex(iv),
                ];
                let bytes = good("openssl", &args, text);
                let (bytes, digest) = bytes.split_at(original - 32);
                let expected = good("openssl", &["dgst", "-sha256", "-binary"], bytes);
                assert!(digest == expected);
                plain.extend_from_slice(bytes);
                rest = &rest[60 + encrypted..];
            }
            assert!(plain == data);
        }
    }
}

/// The reverse: chunks that are built here from output of openssl.
#[test]
fn lsnap_decrypts_what_openssl_encrypts() {
    let room = tempfile::tempdir().unwrap();
    let dir = room.path().join("dir");
    std::fs::create_dir(&dir).unwrap();
    for (algorithm, name, length) in KEYS {
        let secret = vec![0xC3; length];
        let data = &samples()[4];
        let mut file = Vec::new();
        for (number, chunk) in data.chunks(10_000).enumerate() {
            // The largest counter: the next one is zero.
            let iv = [0xFF - number as u8; 16];
            let digest = good("openssl", &["dgst", "-sha256", "-binary"], chunk);
            let plain = [chunk, &digest].concat();
            let args = [
                "enc",
                &format!("-{name}"),
                "-K",
                &hex(&secret),
                "-iv",
                &hex(&iv),
            ];
            let text = good("openssl", &args, &plain);
            file.extend(b"XBCRYP03");
            file.extend(0u64.to_le_bytes());
            file.extend((plain.len() as u64).to_le_bytes());
            file.extend((text.len() as u64).to_le_bytes());
            file.extend(crc32fast::hash(&text).to_le_bytes());
            file.extend(16u64.to_le_bytes());
            file.extend(iv);
            file.extend(text);
        }
        let key = room.path().join("key");
        std::fs::write(&key, &secret).unwrap();
        let stored = dir.join("t.ibd.xbcrypt");
        std::fs::write(&stored, &file).unwrap();
        let algorithm = algorithm.to_string();
        let (dir, key) = (dir.to_str().unwrap(), key.to_str().unwrap());
        let decrypt = ["decrypt", dir, "-d", &algorithm, "-f", key];
        good(LSNAP, &decrypt, b"");
        assert!(std::fs::read(Path::new(dir).join("t.ibd")).unwrap() == *data);
        std::fs::remove_file(Path::new(dir).join("t.ibd")).unwrap();
        // A wrong key is distinguished from damage.
        std::fs::write(key, vec![0xC4; length]).unwrap();
        refused(&decrypt, b"", 12, &["t.ibd.xbcrypt", "key"]);
        std::fs::write(key, &secret).unwrap();
        file[70] ^= 1;
        std::fs::write(&stored, &file).unwrap();
        refused(&decrypt, b"", 13, &["t.ibd.xbcrypt"]);
        assert_eq!(tree(Path::new(dir)).len(), 1, "files were left behind");
    }
}
