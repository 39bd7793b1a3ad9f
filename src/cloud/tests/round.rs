//! Property: any stream that was put gives the same chunks of every path in the same order.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct File {
    path: String,
    /// Lengths of payloads; a hole if `true`.
    chunks: Vec<(u16, bool)>,
}

fn files() -> impl Strategy<Value = Vec<File>> {
    let path = "[^\\x00-\\x1f\\x7f/.]{1,8}(/[^\\x00-\\x1f\\x7f/.]{1,8}){0,2}";
    let chunks = proptest::collection::vec((1u16..300, any::<bool>()), 0..6);
    let file = (path, chunks).prop_map(|(path, chunks)| File { path, chunks });
    proptest::collection::vec(file, 0..6).prop_map(|mut files| {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        files
    })
}

/// Returns the chunks of the files in an order chosen by `turns`.
fn interleaved(files: &[File], turns: &[prop::sample::Index]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let mut open: Vec<(&File, usize, u64)> = files.iter().map(|f| (f, 0, 0)).collect();
    let mut turns = turns.iter().cycle();
    while !open.is_empty() {
        let at = turns.next().unwrap().index(open.len());
        let (file, next, offset) = &mut open[at];
        match file.chunks.get(*next) {
            Some((len, true)) => writer.hole(&file.path, *offset, u64::from(*len)).unwrap(),
            Some((len, false)) => {
                let data = vec![*next as u8; usize::from(*len)];
                writer.payload(&file.path, *offset, &data).unwrap();
            }
            None => {
                writer.end(&file.path).unwrap();
                open.remove(at);
                continue;
            }
        }
        *offset += u64::from(file.chunks[*next].0);
        *next += 1;
    }
    writer.into_inner()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn chunks_round_trip(
        mut files in files(),
        turns in proptest::collection::vec(any::<prop::sample::Index>(), 1..20),
        parallel in 1usize..6,
    ) {
        files.push(File { path: "xtrabackup_tablespaces".to_owned(), chunks: vec![(3, false)] });
        let bytes = interleaved(&files, &turns);
        let (repository, ..) = faulty();
        let report = put_bytes(&repository, "b", &bytes, |o| o.parallel = parallel).unwrap();
        prop_assert_eq!(report.bytes, bytes.len() as u64);
        let (out, got) = get_bytes(&repository, "b", |o| o.parallel = parallel);
        prop_assert_eq!(got.unwrap().objects, report.objects);
        prop_assert_eq!(by_path(&out), by_path(&bytes));
    }

    #[test]
    fn any_bytes_are_refused_and_leave_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let (repository, _, inner) = faulty();
        let refused = put_bytes(&repository, "b", &bytes, |_| {}).is_err();
        prop_assert!(refused);
        prop_assert!(keys(&*inner).is_empty());
    }

    #[test]
    fn a_damaged_stream_is_refused_or_the_same(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = small();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let (repository, _, inner) = faulty();
        match put_bytes(&repository, "b", &bytes, |_| {}) {
            Err(_) => prop_assert!(keys(&*inner).is_empty()),
            // flags and paths have no checksum, so a damaged one is stored as it came
            Ok(_) => {
                let (out, got) = get_bytes(&repository, "b", |_| {});
                got.unwrap();
                prop_assert_eq!(by_path(&out), by_path(&bytes));
            }
        }
    }
}
