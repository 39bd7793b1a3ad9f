use super::*;
use crate::codec::xbcrypt::Algorithm;
use crate::codec::{Compression, compress};
use crate::progress::Silent;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

const ZSTD: Compression = Compression::Zstd { level: 1 };

fn key(byte: u8) -> Key {
    Key::new(Algorithm::Aes256, &[byte; 32]).unwrap()
}

fn encrypt(data: &[u8]) -> Vec<u8> {
    xbcrypt::encrypt(&key(7), 1000, data).unwrap()
}

fn frame(data: &[u8]) -> Vec<u8> {
    compress(ZSTD, data).unwrap()
}

fn options(dir: &Path, layer: Layer, remove_original: bool) -> InPlaceOptions {
    InPlaceOptions {
        directory: dir.to_owned(),
        layer,
        remove_original,
        parallel: 3,
        cancel: crate::cancel::Cancel::new(),
    }
}

fn decompress(dir: &TempDir, remove: bool) -> Result<InPlaceReport, ArchiveError> {
    unwrap_in_place(&options(dir.path(), Layer::Compression, remove), &Silent)
}

fn decrypt(dir: &TempDir, remove: bool) -> Result<InPlaceReport, ArchiveError> {
    unwrap_in_place(
        &options(dir.path(), Layer::Encryption(key(7)), remove),
        &Silent,
    )
}

fn put(dir: &TempDir, files: &[(&str, &[u8])]) {
    for (name, data) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
}

fn made(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(&dir, files);
    dir
}

type Files = BTreeMap<String, Vec<u8>>;

fn tree(dir: &TempDir) -> Files {
    fn walk(root: &Path, dir: &Path, out: &mut Files) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                walk(root, &path, out);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                out.insert(name.to_owned(), fs::read(&path).unwrap_or_default());
            }
        }
    }
    let mut out = Files::new();
    walk(dir.path(), dir.path(), &mut out);
    out
}

fn names(dir: &TempDir) -> Vec<String> {
    tree(dir).into_keys().collect()
}

#[test]
fn decrypted_then_decompressed_with_the_originals_kept() {
    let plain = vec![5; 30_000];
    let dir = made(&[
        ("ibdata1.zst.xbcrypt", &encrypt(&frame(&plain))),
        ("db/t.ibd.xbcrypt", &encrypt(&plain)),
        ("db/empty.xbcrypt", b""),
        ("xtrabackup_info", b"x"),
    ]);
    let before = tree(&dir);
    let error = decompress(&dir, false).unwrap_err().to_string();
    assert!(
        error.contains("ibdata1.zst.xbcrypt") && error.contains("decrypt"),
        "{error}"
    );
    assert_eq!(tree(&dir), before);

    assert_eq!(decrypt(&dir, false).unwrap().files, 3);
    let report = decompress(&dir, false).unwrap();
    assert_eq!((report.files, report.bytes), (1, 30_000));
    let mut expected = before;
    expected.extend([
        ("ibdata1.zst".to_owned(), frame(&plain)),
        ("ibdata1".to_owned(), plain.clone()),
        ("db/t.ibd".to_owned(), plain),
        ("db/empty".to_owned(), Vec::new()),
    ]);
    assert_eq!(tree(&dir), expected);
    // The same again, without the compressed files.
    fs::remove_file(dir.path().join("ibdata1.zst")).unwrap();
    assert_eq!(decompress(&dir, false).unwrap(), InPlaceReport::default());
}

#[test]
fn a_run_continues_an_interrupted_one() {
    let dir = made(&[
        ("a.zst", &frame(b"one")),
        ("b/b.lz4", &compress(Compression::Lz4, b"two").unwrap()),
    ]);
    assert_eq!(decompress(&dir, false).unwrap().files, 2);
    fs::remove_file(dir.path().join("a")).unwrap();
    let report = decompress(&dir, true).unwrap();
    assert_eq!((report.files, report.already, report.removed), (1, 1, 2));
    assert_eq!(names(&dir), ["a", "b/b"]);
    assert_eq!(decompress(&dir, true).unwrap(), InPlaceReport::default());
}

#[test]
fn existing_files_are_compared_and_not_overwritten() {
    let longer = [&b"some"[..], &[0; 100]].concat();
    for mine in [&b"mine"[..], b"som", b"", &longer] {
        let dir = made(&[("a", mine), ("a.zst", &frame(b"some"))]);
        let before = tree(&dir);
        let error = decompress(&dir, true).unwrap_err();
        assert!(matches!(error, ArchiveError::Occupied { .. }), "{error}");
        assert_eq!(tree(&dir), before);
    }
    // The target of a link is another file, independent of its content.
    let dir = made(&[("a.zst", &frame(b"some")), ("elsewhere", b"some")]);
    std::os::unix::fs::symlink("elsewhere", dir.path().join("a")).unwrap();
    let error = decompress(&dir, true).unwrap_err();
    assert!(matches!(error, ArchiveError::Occupied { .. }), "{error}");
    assert_eq!(names(&dir), ["a", "a.zst", "elsewhere"]);
}

/// Two originals with the same target: one of them creates the file, the other one doesn't change it.
#[test]
fn two_originals_of_one_name() {
    for _ in 0..20 {
        let (one, two) = (vec![1; 3 << 20], vec![2; 3 << 20]);
        let dir = made(&[
            ("a.zst", &frame(&one)),
            ("a.lz4", &compress(Compression::Lz4, &two).unwrap()),
        ]);
        let error = decompress(&dir, false).unwrap_err();
        assert!(matches!(error, ArchiveError::Occupied { .. }), "{error}");
        let tree = tree(&dir);
        assert_eq!(tree.len(), 3);
        assert!(tree["a"] == one || tree["a"] == two);
    }
}

#[test]
fn links_are_not_followed() {
    let outside = made(&[("x.zst", &frame(b"x"))]);
    let dir = made(&[("a.zst", &frame(b"a"))]);
    std::os::unix::fs::symlink(outside.path(), dir.path().join("sub")).unwrap();
    assert_eq!(decompress(&dir, true).unwrap().files, 1);
    assert_eq!(names(&outside), ["x.zst"]);
    let link = dir.path().join("b.zst");
    std::os::unix::fs::symlink(outside.path().join("x.zst"), link).unwrap();
    let error = decompress(&dir, true).unwrap_err().to_string();
    assert!(
        error.contains("b.zst") && error.contains("links"),
        "{error}"
    );
    assert_eq!(names(&outside), ["x.zst"]);
}

#[test]
fn damage_is_an_error_and_leaves_no_file() {
    let whole = frame(&[3; 50_000]);
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&whole[..whole.len() - 1], &flipped, b"junk", b""] {
        let dir = made(&[("t.ibd.zst", bad)]);
        let error = decompress(&dir, true).unwrap_err();
        assert!(
            matches!(&error, ArchiveError::Codec { path, .. } if path.ends_with("t.ibd.zst")),
            "{error}"
        );
        assert_eq!(names(&dir), ["t.ibd.zst"]);
    }
    let dir = made(&[("t.ibd.xbcrypt", &encrypt(b"text"))]);
    let other = options(dir.path(), Layer::Encryption(key(8)), true);
    let error = unwrap_in_place(&other, &Silent).unwrap_err();
    let wrong_key = matches!(
        &error,
        ArchiveError::Codec {
            source: CodecError::WrongKey { .. },
            ..
        }
    );
    assert!(wrong_key, "{error}");
    assert_eq!(names(&dir), ["t.ibd.xbcrypt"]);
}

#[test]
fn quicklz_is_refused_before_anything_is_written() {
    let dir = made(&[("a.zst", &frame(b"a")), ("z/t.qp", b"qpress10")]);
    let error = decompress(&dir, true).unwrap_err().to_string();
    assert!(
        error.contains("z/t.qp") && error.contains("qpress"),
        "{error}"
    );
    assert_eq!(names(&dir), ["a.zst", "z/t.qp"]);
    // Unless it was already decompressed.
    put(&dir, &[("z/t", b"t")]);
    assert_eq!(decompress(&dir, true).unwrap().files, 1);
    assert_eq!(names(&dir), ["a", "z/t", "z/t.qp"]);
}

#[test]
fn only_unlocked_private_files_are_removed() {
    let left = ".lsnap-unwrap-0123456789abcdef";
    let kept = [
        ".lsnap-unwrap-0123456789abcde",
        ".lsnap-unwrap-0123456789abcdefg",
        ".lsnap-unwrap-0123456789abcdeF",
        "x.lsnap-unwrap-0123456789abcdef",
    ];
    let dir = made(&kept.map(|name| (name, &b"mine"[..])));
    put(&dir, &[(left, b"half"), (&format!("db/{left}"), b"half")]);
    fs::create_dir(dir.path().join(".lsnap-unwrap-00000000000000aa")).unwrap();
    let link = dir.path().join(".lsnap-unwrap-00000000000000bb");
    std::os::unix::fs::symlink(left, &link).unwrap();
    let open = rustix::fs::open(
        dir.path(),
        OFlags::RDONLY | OFlags::DIRECTORY,
        Mode::empty(),
    )
    .unwrap();
    let alive = Private::create(&open).unwrap();
    let count = names(&dir).len();
    decompress(&dir, false).unwrap();
    let names_now = names(&dir);
    assert_eq!(names_now.len(), count - 2, "{names_now:?}");
    assert!(
        !names_now
            .iter()
            .any(|name| name.ends_with(left) && !name.starts_with('x'))
    );
    assert!(link.is_symlink());
    assert!(alive.rename("alive").unwrap());
    assert!(dir.path().join("alive").exists());
    // An unfinished one is removed on drop.
    drop(Private::create(&open).unwrap());
    assert_eq!(names(&dir).len(), count - 2);
}

#[test]
fn an_existing_target_is_not_changed() {
    let dir = made(&[("a", b"mine")]);
    let open = rustix::fs::open(dir.path(), OFlags::RDONLY, Mode::empty()).unwrap();
    assert!(!Private::create(&open).unwrap().rename("a").unwrap());
    assert_eq!(
        tree(&dir),
        Files::from([("a".to_owned(), b"mine".to_vec())])
    );
}

/// Inspects the directory at each progress call of a run.
struct Watch<F: Fn() + Send + Sync>(F);

impl<F: Fn() + Send + Sync> Progress for Watch<F> {
    fn advance(&self, _: Phase, _: u64) {
        (self.0)();
    }
}

/// At any moment at which a run can be killed, no final name has a part of a file.
#[test]
fn no_final_name_ever_has_a_partial_file() {
    let plain = vec![9; 5 << 20];
    let dir = made(&[("a.zst", &frame(&plain))]);
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let watch = Watch(|| {
        for (name, data) in tree(&dir) {
            let whole = name == "a.zst" || private::is_private(&name) || data == plain;
            assert!(whole, "{name}: {} bytes", data.len());
        }
        looks.fetch_add(1, Ordering::Relaxed);
    });
    unwrap_in_place(&options(dir.path(), Layer::Compression, false), &watch).unwrap();
    assert!(looks.into_inner() > 0);
    assert_eq!(names(&dir), ["a", "a.zst"]);
}

/// An original that is written to or replaced meanwhile is not removed. If it is written to, its target isn't
/// created.
#[test]
fn an_original_that_changes_meanwhile() {
    let dir = made(&[("a.zst", &frame(b"some"))]);
    let watch = Watch(|| {
        let path = dir.path().join("a.zst");
        let file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    });
    let error = unwrap_in_place(&options(dir.path(), Layer::Compression, true), &watch);
    assert!(error.unwrap_err().to_string().contains("while it was read"));
    assert_eq!(names(&dir), ["a.zst"]);

    let dir = made(&[("a.zst", &frame(b"some")), ("b", &frame(b"else"))]);
    let watch = Watch(|| {
        let _ = fs::rename(dir.path().join("b"), dir.path().join("a.zst"));
    });
    let error = unwrap_in_place(&options(dir.path(), Layer::Compression, true), &watch);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("replaced by another file")
    );
    assert_eq!(names(&dir), ["a", "a.zst"]);
}

/// A file name that can occur several times.
fn name() -> impl Strategy<Value = String> {
    "[ab]{1}(/[cd]{1}){0,2}\\.ibd"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Wrapped files are unwrapped to their content, and nothing else in the directory changes.
    #[test]
    fn round_trip(
        files in proptest::collection::btree_map(name(), (0..4u8, proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..20_000)), 0..6),
        remove in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = Files::new();
        for (name, (how, data)) in &files {
            let (suffix, stored) = match how {
                0 => ("", data.clone()),
                1 => (".zst", frame(data)),
                2 => (".lz4.xbcrypt", encrypt(&compress(Compression::Lz4, data).unwrap())),
                _ => (".xbcrypt", encrypt(data)),
            };
            put(&dir, &[(&format!("{name}{suffix}"), &stored)]);
            expected.insert(name.clone(), data.clone());
        }
        let kept = tree(&dir);
        decrypt(&dir, remove).unwrap();
        decompress(&dir, remove).unwrap();
        let mut found = tree(&dir);
        if !remove {
            found.retain(|name, _| !kept.contains_key(name) || expected.contains_key(name));
            found.retain(|name, _| !name.ends_with(".lz4"));
        }
        prop_assert_eq!(found, expected);
    }

    /// Any bytes are unwrapped or refused; refused ones leave no file.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400), head in 0..4usize) {
        let magic: [&[u8]; 4] = [b"", &[0x28, 0xb5, 0x2f, 0xfd], &[4, 0x22, 0x4d, 0x18], b"XBCRYP03"];
        let bytes = [magic[head], &bytes].concat();
        for name in ["a.zst", "a.lz4", "a.xbcrypt"] {
            let dir = made(&[(name, &bytes)]);
            let done = if name == "a.xbcrypt" { decrypt(&dir, true) } else { decompress(&dir, true) };
            prop_assert_eq!(names(&dir), [if done.is_ok() { "a" } else { name }]);
        }
    }
}

fn unwrap_all(dir: &TempDir, remove: bool) -> Result<InPlaceReport, ArchiveError> {
    unwrap_in_place(&options(dir.path(), Layer::All(key(7)), remove), &Silent)
}

#[test]
fn both_layers_are_removed_at_once() {
    let both = encrypt(&frame(b"table"));
    let dir = made(&[
        ("t.ibd.zst.xbcrypt", &both),
        ("with a blank.ibd.zst.xbcrypt", &both),
        ("info.xbcrypt", &encrypt(b"info")),
        ("u.ibd.zst", &frame(b"other")),
        ("plain", b"plain"),
    ]);
    let report = unwrap_all(&dir, false).unwrap();
    assert_eq!((report.files, report.removed), (4, 0));
    let names = |dir: &TempDir| {
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let kept = names(&dir);
    assert!(!kept.contains(&"t.ibd.zst".to_owned()), "{kept:?}");
    assert_eq!(kept.len(), 9, "{kept:?}");
    assert_eq!(fs::read(dir.path().join("t.ibd")).unwrap(), b"table");
    // Again, with the removal of the originals.
    let report = unwrap_all(&dir, true).unwrap();
    assert_eq!((report.files, report.already, report.removed), (0, 4, 4));
    assert_eq!(
        names(&dir),
        ["info", "plain", "t.ibd", "u.ibd", "with a blank.ibd"]
    );
    assert_eq!(unwrap_all(&dir, true).unwrap(), InPlaceReport::default());
}

#[test]
fn damage_in_either_layer_leaves_the_original_alone() {
    let mut cut = encrypt(&frame(&[7; 100_000]));
    cut.truncate(cut.len() - 10);
    let plain = frame(&[7; 100_000]);
    let half = encrypt(&plain[..plain.len() - 5]);
    for damaged in [cut, half] {
        let dir = made(&[("t.ibd.zst.xbcrypt", &damaged)]);
        unwrap_all(&dir, true).unwrap_err();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(
            fs::read(dir.path().join("t.ibd.zst.xbcrypt")).unwrap(),
            damaged
        );
    }
    let quick = made(&[("t.ibd.qp.xbcrypt", b"x")]);
    let error = unwrap_all(&quick, true).unwrap_err().to_string();
    assert!(error.contains("quicklz"), "{error}");
}
