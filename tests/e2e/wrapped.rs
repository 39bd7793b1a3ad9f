//! Compressed and encrypted backups: a chain of members of several kinds is restored right with the
//! key, and refused without it, with another key, and after a change by an attacker without the
//! key.

use crate::journey::Journey;
use crate::sealed::{KEY, Sealed};
use crate::{ddl, lsnap};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn a_chain_of_compressed_and_encrypted_members() {
    let mut journey = Journey::begin("e2e-wrapped", 16, &[], false);
    let sealed = Sealed::new(&journey);
    sealed.member(&mut journey, &["--compress"]);
    ddl::round(&journey.source, 1);
    sealed.member(&mut journey, &["--incremental", "--compress=lz4"]);
    ddl::round(&journey.source, 2);
    sealed.member(&mut journey, &["--incremental", "--compress=zstd:3"]);
    ddl::round(&journey.source, 3);
    journey.rest();

    nothing_is_readable(
        &journey.repository(),
        &journey.members[0].name,
        &journey.source.datadir().join("shop"),
    );
    refused_without_the_key(&journey);
    changed_without_the_key(&journey, &sealed);

    sealed.prove(&journey, 2);
    out_of_directories(&journey, &sealed);
}

/// The same chain as directories of `lsnap cloud get -C`, once as it is stored and once decrypted
/// and decompressed during the download.
fn out_of_directories(journey: &Journey, sealed: &Sealed) {
    let mysqld = journey.source.program("mysqld");
    let keyed = sealed.open();
    let bare = [&keyed[..], &["--decompress"]].concat();
    for (form, taken_off, then) in [("stored", &[][..], &keyed[..]), ("bare", &bare[..], &[])] {
        let get = |(number, member): (usize, &lsnap::Member)| {
            let dir = journey.path().join(format!("{form}-{number}"));
            std::fs::create_dir(&dir).unwrap();
            let got = lsnap::command()
                .args(["cloud", "get", "--from", &lsnap::url(&journey.repository())])
                .args([&member.name, "-C", dir.to_str().unwrap()])
                .args(taken_off)
                .output();
            lsnap::said(got.unwrap()).ok();
            dir
        };
        let dirs: Vec<PathBuf> = journey.members.iter().enumerate().map(get).collect();
        journey.prove_by(2, &[], |_, datadir| {
            let dirs: Vec<&PathBuf> = dirs.iter().collect();
            crate::streams::restore(&mysqld, &dirs, datadir, then).ok();
        });
    }
}

/// The stored files have the names of `docs/format/wrapping.md`, don't contain the rows, and don't
/// contain a key.
fn nothing_is_readable(repository: &Path, name: &str, datadir: &Path) {
    let dir = repository.join(name);
    let exists = |path: &str| dir.join(format!("{path}.{:020}", 0)).exists();
    assert!(exists("mysql.ibd.zst.xbcrypt"));
    assert!(exists("xtrabackup_logfile.zst.xbcrypt"));
    assert!(exists("xtrabackup_tablespaces.zst.xbcrypt"));
    assert!(exists("xtrabackup_checkpoints") && exists("lsnap_manifest.json"));
    assert!(
        holds(datadir, "order 1"),
        "the text to search for is not in the rows"
    );
    assert!(!holds(&dir, "order 1"), "rows are readable");
    assert!(!holds(repository, KEY) && !holds(repository, &KEY[..32]));
}

/// Returns whether any file below `dir` contains `text`.
fn holds(dir: &Path, text: &str) -> bool {
    let grep = Command::new("grep")
        .args(["-r", "-q", "-a", "-i", "-F", "-e", text])
        .arg(dir)
        .status()
        .unwrap();
    grep.success()
}

fn refused_without_the_key(journey: &Journey) {
    let (repository, name) = (journey.repository(), &journey.members[2].name);
    let mysqld = journey.source.program("mysqld");
    let target = journey.path().join("refused");
    let plain = ["--mysqld", mysqld.to_str().unwrap()];
    lsnap::try_restore(&repository, name, &target, &plain).refused(12, &["AES256", "--key-file"]);
    Sealed::with(journey, "other", &KEY.replace("0f", "f0"))
        .try_restore(journey, name, &target)
        .refused(12, &["does not fit the MAC"]);
    Sealed::with(journey, "short", &KEY[2..])
        .try_restore(journey, name, &target)
        .refused(2, &["expected 16, 24 or 32 bytes"]);
    assert!(!target.exists());
}

/// A manifest whose digest was corrected, but not its MAC.
fn changed_without_the_key(journey: &Journey, sealed: &Sealed) {
    let name = &journey.members[0].name;
    let path = journey
        .repository()
        .join(name)
        .join(format!("lsnap_manifest.json.{:020}", 0));
    let whole = std::fs::read(&path).unwrap();
    let forged = forge(&whole, "\"name\":\"shop/", "\"name\":\"shOp/");
    std::fs::write(&path, forged).unwrap();
    let target = journey.path().join("forged");
    sealed
        .try_restore(journey, name, &target)
        .refused(12, &["changed without the key"]);
    std::fs::write(&path, whole).unwrap();
}

/// Replaces a text of the manifest by another of the same length, and corrects digest and CRC.
pub fn forge(object: &[u8], from: &str, to: &str) -> Vec<u8> {
    let path = "lsnap_manifest.json";
    let head = ::lsnap::xbstream::payload_head(path, 0, 0, 0)
        .unwrap()
        .len();
    let end = ::lsnap::xbstream::end_chunk(path).unwrap();
    let json = String::from_utf8(object[head..object.len() - end.len()].to_vec()).unwrap();
    let json = json.replacen(from, to, 1);
    let (start, digits) = ("{\"digest\":\"blake3:", 64);
    let zeros = format!(
        "{start}{}{}",
        "0".repeat(digits),
        &json[start.len() + digits..]
    );
    let digest = blake3::hash(zeros.as_bytes()).to_hex();
    let json = format!("{start}{digest}{}", &json[start.len() + digits..]);
    let crc = ::lsnap::xbstream::crc(json.as_bytes());
    let head = ::lsnap::xbstream::payload_head(path, 0, json.len() as u64, crc).unwrap();
    [&head[..], json.as_bytes(), &end[..]].concat()
}
