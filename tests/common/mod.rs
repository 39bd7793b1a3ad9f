//! What several test programs need: `mod common;`. A test program uses a part of it, hence `dead_code`.
//!
//! | module | for |
//! |---|---|
//! | `program` | running lsnap, feeding it, reading what it printed |
//! | `lsnap` | backups and restores of a server of the sandbox |
//! | `sandbox` | MySQL servers by name, through `tools/sandbox` |
//! | `servers` | servers that stand in for the clouds |
//! | `proxy`, `http` | requests that are disturbed on their way to such a server |
//! | `small` | backups without a server: one file, and its manifest |
#![allow(dead_code)]

pub mod http;
pub mod lsnap;
pub mod program;
pub mod proxy;
pub mod sandbox;
pub mod servers;
pub mod small;
