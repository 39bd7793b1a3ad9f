//! Pages, tablespace headers, redo.

use lsnap::innodb::{
    Lsn, PageNo, PageSize, PageVerifier, SpaceFlags, SpaceHeader, doublewrite_extents, page, redo,
};

/// Verifies a page as one of every kind of tablespace: unchanged, and with a corrected checksum.
pub fn pages(data: &[u8]) {
    let header = SpaceHeader::parse(data);
    let _ = page::lsn(data);
    let stored = page::stored_len(data, 4096);
    assert!(stored <= data.len());
    for range in doublewrite_extents(data) {
        assert!(range.start <= range.end);
    }
    if let Ok(header) = header
        && let Ok(verifier) = PageVerifier::new(header.space_id, header.flags)
    {
        let _ = verifier.verify(PageNo(0), data);
    }
    // the next page size, because the fuzzer can't guess a length
    let length = data.len().next_power_of_two().clamp(1024, 64 << 10);
    let mut whole = data.to_vec();
    whole.resize(length, 0);
    every_space(&whole);
    for zip in [false, true] {
        seal(&mut whole, zip);
        every_space(&whole);
    }
}

/// Verifies the page in tablespaces of all sizes whose pages have its length.
fn every_space(bytes: &[u8]) {
    let (space, number) = (page::space_id(bytes), page::number(bytes));
    for shift in 0..8 {
        for zip in 0..6 {
            let flags = SpaceFlags(1 | 1 << 5 | shift << 6 | zip << 1);
            if flags.physical_page_size().map(PageSize::bytes) != Ok(bytes.len()) {
                continue;
            }
            for flags in [flags, SpaceFlags(flags.0 | 1 << 13)] {
                let Ok(verifier) = PageVerifier::new(space, flags) else {
                    continue;
                };
                let first = format!("{:?}", verifier.verify(number, bytes));
                assert_eq!(
                    first,
                    format!("{:?}", verifier.verify(number, bytes)),
                    "the result depends on the scratch memory"
                );
                let _ = verifier.verify(PageNo(number.0 ^ 1), bytes);
            }
        }
    }
}

/// Sets the CRC-32C of a page, or of a page of a compressed table.
fn seal(bytes: &mut [u8], zip: bool) {
    let end = bytes.len();
    if zip {
        let crc = crc32c::crc32c(&bytes[4..16])
            ^ crc32c::crc32c(&bytes[24..26])
            ^ crc32c::crc32c(&bytes[34..]);
        bytes[..4].copy_from_slice(&crc.to_be_bytes());
        return;
    }
    let crc = crc32c::crc32c(&bytes[4..26]) ^ crc32c::crc32c(&bytes[38..end - 8]);
    bytes[..4].copy_from_slice(&crc.to_be_bytes());
    bytes[end - 8..end - 4].copy_from_slice(&crc.to_be_bytes());
}

/// Parses the input as a redo file: its header, and blocks.
pub fn redo(data: &[u8]) {
    header(data);
    let mut sealed = data.to_vec();
    for block in sealed.chunks_exact_mut(redo::BLOCK) {
        let crc = crc32c::crc32c(&block[..redo::BLOCK - 4]);
        block[redo::BLOCK - 4..].copy_from_slice(&crc.to_be_bytes());
    }
    header(&sealed);
    for block in data.chunks(redo::BLOCK).chain(sealed.chunks(redo::BLOCK)) {
        blocks(block);
    }
}

fn header(data: &[u8]) {
    if let Ok(header) = redo::FileHeader::parse(data) {
        let _ = header.creator_str();
        assert_eq!(
            redo::FileHeader::parse(&header.encode()).ok().as_ref(),
            Some(&header)
        );
        let checkpoint = Lsn(header.start_lsn.0.saturating_add(1000));
        if let Ok(made) = redo::logfile_header(data, checkpoint, "260101 00:00:00") {
            let made_again = redo::recovery_header(&made, &[7; 32], header.log_uuid);
            let (bytes, start) = made_again.expect("the header was just built");
            assert_eq!(start, checkpoint);
            let first = redo::FileHeader::parse(&bytes)
                .expect("it was just built")
                .start_lsn;
            assert_eq!(first, checkpoint.block_start());
        }
    }
    let _ = redo::recovery_header(data, &[7; 32], 0);
    let _ = redo::has_encryption_info(data);
    if let Some(lsn) = redo::parse_checkpoint(data) {
        assert_eq!(
            redo::parse_checkpoint(&redo::encode_checkpoint(lsn)),
            Some(lsn)
        );
    }
}

fn blocks(block: &[u8]) {
    let header = redo::BlockHeader::parse(block);
    let _ = redo::has_no_checksum(block);
    let expected = header.lsn().unwrap_or(Lsn(8192));
    let state = redo::classify(block, expected);
    let _ = redo::classify(block, Lsn(expected.0.wrapping_add(512)));
    let Ok(mut cut) = <[u8; redo::BLOCK]>::try_from(block) else {
        return;
    };
    let whole = matches!(
        state,
        redo::BlockState::Full | redo::BlockState::Partial { .. }
    );
    redo::cut_block(&mut cut, 100);
    let after = redo::BlockHeader::parse(&cut);
    assert!(after.data_len <= header.data_len.max(100));
    if whole && !header.encrypted && header.data_len > 100 {
        assert_eq!(
            redo::classify(&cut, expected),
            redo::BlockState::Partial { data_len: 100 }
        );
    }
}
