//! An allocator that counts, to check that a wrong length field doesn't cause an allocation. It
//! doesn't see allocations of C code (zstd); libFuzzer's `-rss_limit_mb` limits those.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system allocator; counts the bytes that each thread holds.
pub struct Counting;

fn count(by: isize) {
    // a thread that ends frees memory after its thread-local variables are gone
    let _ = HELD.try_with(|held| {
        let now = held.get() + by;
        held.set(now);
        let _ = MOST.try_with(|most| most.set(most.get().max(now)));
    });
}

// SAFETY: every call is forwarded to `System` with the arguments of the caller; counting doesn't
// allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller upholds the contract of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: see `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: see `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: see `alloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Returns the largest number of bytes that this thread held at one time while `body` ran, in
/// addition to the bytes that it held before.
pub fn most_held(body: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    body();
    (MOST.get() - before).max(0) as usize
}
