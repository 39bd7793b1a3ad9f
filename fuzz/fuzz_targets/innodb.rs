//! Any bytes as a page of any kind of tablespace, as a tablespace header, as redo.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lsnap::innodb::{Lsn, PageNo, PageVerifier, SpaceFlags, SpaceHeader, SpaceId, redo};

fuzz_target!(|data: &[u8]| {
    let Some((head, page)) = data.split_first_chunk::<8>() else {
        return;
    };
    let number = |i: usize| u32::from_be_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
    let _ = SpaceHeader::parse(page);
    if let Ok(verifier) = PageVerifier::new(SpaceId(number(0)), SpaceFlags(number(4))) {
        let _ = verifier.verify(PageNo(number(0)), page);
    }
    let _ = redo::FileHeader::parse(page);
    let _ = redo::parse_checkpoint(page);
    let _ = redo::classify(page, Lsn(u64::from(number(0)) << 9));
    if let Ok(header) = redo::logfile_header(page, Lsn(u64::from(number(4))), "260101 00:00:00") {
        let _ = redo::recovery_header(&header, &[0; 32], number(0));
    }
});
