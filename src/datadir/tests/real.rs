//! To be run manually, on the data directory of a running server:
//!
//! ```text
//! mysql -NBr -e "SELECT FILE_ID, FILE_NAME, FILE_TYPE, TABLESPACE_NAME
//!                FROM information_schema.FILES WHERE FILE_ID IS NOT NULL" > rows
//! LSNAP_DATADIR=... LSNAP_ROWS=rows LSNAP_DATA_FILE_PATH=... \
//!   cargo test --lib datadir::tests::real -- --ignored --nocapture
//! ```

use crate::datadir::*;
use crate::innodb::{PageNo, PageSize, SpaceId};
use crate::mem::BufferPool;
use std::path::PathBuf;

fn rows(text: &str) -> Vec<ServerTablespace> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        ServerTablespace {
            space_id: SpaceId(fields[0].parse().unwrap()),
            name: fields[3].to_owned(),
            path: PathBuf::from(fields[1]),
            undo: fields[2] == "UNDO LOG",
        }
    };
    text.lines().map(row).collect()
}

#[test]
#[ignore = "needs a real data directory"]
fn every_page_of_a_real_data_directory() {
    let paths = ServerPaths {
        datadir: std::env::var_os("LSNAP_DATADIR").unwrap().into(),
        data_home: PathBuf::new(),
        data_file_path: std::env::var("LSNAP_DATA_FILE_PATH").unwrap(),
        undo_dir: ".".into(),
        redo_dir: ".".into(),
        doublewrite_dir: None,
        temp_dir: "#innodb_temp".into(),
        page_size: PageSize::DEFAULT,
    };
    let list = std::fs::read_to_string(std::env::var_os("LSNAP_ROWS").unwrap()).unwrap();
    let lists = ServerLists {
        dictionary: Vec::new(),
        open: rows(&list),
    };
    let survey = survey(&paths, Spaces::OfServer(&lists)).unwrap();
    let pool = BufferPool::new(1 << 20, 1 << 20);
    let mode = match std::env::var("LSNAP_MODE").as_deref() {
        Ok("buffered") => ReadMode::Buffered,
        Ok("direct") => ReadMode::Direct,
        _ => ReadMode::Auto,
    };
    let mut total = ReadReport::default();
    for ts in &survey.tablespaces {
        let reader = PageReader::open(ts, mode).unwrap();
        let mut buffer = pool.get();
        let batch = buffer.len() / ts.page_size.bytes();
        let mut report = ReadReport::default();
        let mut no = 0;
        while no < reader.pages() {
            let pages = batch.min((reader.pages() - no) as usize);
            report.merge(&reader.read(PageNo(no as u32), pages, &mut buffer).unwrap());
            no += pages as u64;
        }
        let (mut data, mut at) = (0, 0);
        while let Some(range) = reader.next_data(at).unwrap() {
            assert!(range.start >= at && range.end > range.start);
            data += range.end - range.start;
            at = range.end;
        }
        println!(
            "{:?} {} {:?} space {} first {} page {} bytes {} data {data} direct {} ext {:?} {report:?}",
            ts.kind,
            ts.name,
            ts.tablespace_name,
            ts.space_id,
            ts.first_page,
            ts.page_size,
            ts.bytes,
            reader.is_direct(),
            ts.external
        );
        total.merge(&report);
    }
    println!("schemas {:?}", survey.schemas);
    survey
        .plain
        .iter()
        .for_each(|p| println!("plain {} {}", p.name, p.bytes));
    survey
        .left_out
        .iter()
        .for_each(|l| println!("left out {}: {}", l.path, l.reason));
    println!("total {total:?}");
}
