//! See `tablespaces` in `bodies`.
#![no_main]

#[allow(dead_code)]
#[path = "../bodies/mod.rs"]
mod bodies;

#[global_allocator]
static ALLOCATOR: bodies::Counting = bodies::Counting;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::run("tablespaces", data));
