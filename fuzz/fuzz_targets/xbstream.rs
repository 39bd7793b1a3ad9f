//! Any bytes as a stream: both readers end, agree, and allocate no more than what is there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lsnap::xbstream::{Reader, chunks};

fuzz_target!(|data: &[u8]| {
    let read: Result<Vec<_>, _> = Reader::with_limit(data, u64::MAX).collect();
    let sliced: Result<Vec<_>, _> = chunks(bytes::Bytes::copy_from_slice(data)).collect();
    match (read, sliced) {
        (Ok(a), Ok(b)) => assert_eq!(a, b),
        (Err(_), Err(_)) => {}
        (a, b) => panic!("the readers disagree: {a:?}, {b:?}"),
    }
});
