//! Full and incremental backups under write load, with every kind of DDL between them: an
//! intermediate member and the last one each restore to the state of the source at their recorded
//! position.

use crate::journey::Journey;
use crate::lsnap;
use crate::sandbox::run;
use crate::{ddl, schema};
use std::path::Path;

fn chain(name: &str, page_kib: u32, incrementals: u32) {
    let mut journey = Journey::begin(name, page_kib, &[], false);
    journey.member();
    for n in 1..=incrementals {
        ddl::round(&journey.source, n);
        journey.member();
    }
    if incrementals < 3 {
        // The replay includes a round that is in no backup.
        ddl::round(&journey.source, incrementals + 1);
    }
    journey.rest();
    let mut conn = journey.source.connect();
    run(&mut conn, "FLUSH TABLES shop.pc_zlib FOR EXPORT");
    has_holes(&journey.source.datadir(), page_kib);
    run(&mut conn, "UNLOCK TABLES");
    let finished = journey.members.len();
    let page = format!("--innodb-page-size={page_kib}k");
    let mysqld = journey.source.program("mysqld");
    for index in [finished - 2, finished - 1] {
        journey.prove_with(index, &[&page], &mysqld, |datadir| {
            has_holes(datadir, page_kib)
        });
    }
}

/// `COMPRESSION='zlib'` is only effective if holes were punched, on the source and after a restore.
fn has_holes(datadir: &Path, page_kib: u32) {
    // In a page of 4 KiB no hole can be punched: it is one block of the file system.
    if page_kib > 4 {
        let (length, allocated) = schema::allocation(&datadir.join("shop/pc_zlib.ibd"));
        assert!(
            allocated * 10 < length * 9,
            "no holes: {allocated} of {length} bytes allocated"
        );
    }
}

#[test]
fn chain_of_4k_pages_under_load_and_ddl() {
    chain("e2e-4k", 4, 2);
}

#[test]
fn chain_of_16k_pages_under_load_and_ddl() {
    chain("e2e-16k", 16, 3);
}

#[test]
fn chain_of_64k_pages_under_load_and_ddl() {
    chain("e2e-64k", 64, 2);
}

#[test]
fn two_thousand_small_tables() {
    let mut journey = Journey::of_small_tables("e2e-many", 2000);
    journey.member();
    for n in (0..2000).step_by(40) {
        let source = &journey.source;
        match n / 40 % 4 {
            0 => source.run(&format!("DROP TABLE many.t{n:05}")),
            1 => source.run(&format!("RENAME TABLE many.t{n:05} TO many.renamed{n}")),
            2 => source.run(&format!("TRUNCATE TABLE many.t{n:05}")),
            _ => source.run(&format!("UPDATE many.t{n:05} SET c = 'changed'")),
        }
    }
    schema::small_tables(&journey.source, "more", 100);
    journey.member();
    journey.rest();
    let listed = lsnap::list(&journey.repository());
    for member in &journey.members {
        assert!(
            listed.to_string().contains(&member.name),
            "{} is not in {listed}",
            member.name
        );
    }
    journey.prove(1, &[]);
}
