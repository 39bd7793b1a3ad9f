//! An allocator that counts, so that "a length field that lies allocates nothing" can be checked. What C code
//! (zstd) allocates is not seen; libFuzzer's `-rss_limit_mb` bounds that.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator; counts what each thread holds.
pub struct Counting;

fn count(by: isize) {
    // a thread that ends frees after its variables are gone
    let _ = HELD.try_with(|held| {
        let now = held.get() + by;
        held.set(now);
        let _ = MOST.try_with(|most| most.set(most.get().max(now)));
    });
}

// SAFETY: every call goes to `System` with what the caller gave; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// The most that this thread held at one time while `body` ran, beyond what it held before, in bytes.
pub fn most_held(body: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    body();
    (MOST.get() - before).max(0) as usize
}
