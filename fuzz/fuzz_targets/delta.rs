//! Any bytes as a delta and as a meta file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lsnap::delta::{DeltaReader, Meta};
use lsnap::innodb::PageSize;

fuzz_target!(|data: &[u8]| {
    let Some((size, rest)) = data.split_first() else {
        return;
    };
    let Ok(size) = PageSize::new(1024 << (size % 7)) else {
        return;
    };
    let mut reader = DeltaReader::new(rest, size);
    let mut page = Vec::new();
    while let Ok(Some(_)) = reader.next_page(&mut page) {
        assert_eq!(page.len(), size.bytes());
    }
    if let Ok(meta) = Meta::parse(&String::from_utf8_lossy(rest)) {
        assert_eq!(Meta::parse(&meta.encode()).ok(), Some(meta));
    }
});
