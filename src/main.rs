//! The `lsnap` program.
fn main() {}
