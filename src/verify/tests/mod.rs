//! Each way to damage a real backup, and what each level says of it.

mod authentication;
mod contents;
mod crafted;
mod damages;
mod verdicts;
