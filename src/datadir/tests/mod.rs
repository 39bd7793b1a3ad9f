//! Tests of the layer on made-up data directories, and (by hand) on a real one.

mod made;
mod pages;
mod real;
mod surveys;
