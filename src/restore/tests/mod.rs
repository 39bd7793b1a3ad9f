//! Tests of the layer on the fixture's repositories, with a test double of xtrabackup. A real
//! server restores in `tests/e2e`.

mod damage;
mod directories;
mod merged;
mod merging;
pub(crate) mod model;
pub(crate) mod packed;
mod planner;
pub(crate) mod prepared;
