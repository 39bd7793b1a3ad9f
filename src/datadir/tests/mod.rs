//! Tests of the layer on generated data directories, and (manually) on a real one.

mod fixture;
mod pages;
mod real;
mod surveys;
