//! Code that several test programs share: `mod common;`. Each test program uses a part of it, hence
//! `dead_code`.
//!
//! | module | for |
//! |---|---|
//! | `program` | running lsnap, writing its input, reading its output |
//! | `documents` | checking the documents of `--json` against their schemas |
//! | `lsnap` | backups and restores of a sandbox server |
//! | `sandbox` | MySQL servers by name, through `tools/sandbox` |
//! | `servers` | servers that emulate the clouds |
//! | `proxy`, `http` | faults in requests to such a server |
//! | `small` | backups without a server: one file, and its manifest |
#![allow(dead_code)]

pub mod documents;
pub mod http;
pub mod lsnap;
pub mod program;
pub mod proxy;
pub mod sandbox;
pub mod servers;
pub mod small;
