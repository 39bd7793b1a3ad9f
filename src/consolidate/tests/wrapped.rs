//! Compression added, kept and removed. Encrypted chains are in `tests/e2e/consolidate.rs`.

use super::{equal, made, options, sound};
use crate::codec::Compression;
use crate::consolidate::Compress;
use crate::reader::fixture::{Space, World, start_of, system};

/// A compressed full backup, a plain incremental of it, and full backups of both kinds made from
/// these.
#[test]
fn compression_is_added_kept_and_removed() {
    let (lz4, zstd) = (Compression::Lz4, Compression::Zstd { level: 3 });
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 60, 50));
    world.backup(&spaces);
    let mut with = options(1);
    with.compress = Compress::With(lz4);
    let report = made(&world.repo, &world.chain[0], &with);
    assert!(report.copied_objects == 0, "{report:?}");
    equal(&mut world, 0, &report, &spaces);
    world.chain = vec![world.repo.manifest(&report.name).unwrap()];
    spaces[2].write(40, start_of(0) + 1, 77);
    world.backup(&spaces);

    let kinds = [
        Compress::Keep,
        Compress::Not,
        Compress::With(lz4),
        Compress::With(zstd),
    ];
    for (number, compress) in kinds.into_iter().enumerate() {
        let mut options = options(10 + number);
        options.compress = compress;
        let report = made(&world.repo, &world.chain[1], &options);
        equal(&mut world, 1, &report, &spaces);
        sound(&world.repo, &report.name);
        let manifest = world.repo.manifest(&report.name).unwrap();
        let table = manifest
            .files
            .iter()
            .find(|f| f.plain_path() == "db/t.ibd")
            .unwrap();
        let expected = match compress {
            // The source member is not compressed.
            Compress::Keep | Compress::Not => None,
            Compress::With(how) => Some(how.into()),
        };
        let found = table.wrapping.clone().and_then(|w| w.compression);
        assert_eq!(found, expected);
        if compress == Compress::With(lz4) {
            // The objects up to the changed range, and both system tablespaces, which did not
            // change.
            assert!(report.copied_objects >= 10 + 2, "{report:?}");
        }
    }
}
