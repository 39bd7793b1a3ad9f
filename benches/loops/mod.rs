//! The loops that process every byte, page, file or member of a backup, once each: `hot_loops`
//! times them, and counts their instructions for `tools/instructions`.

mod codecs;
mod formats;
#[path = "../../examples/datadir/pages.rs"]
#[allow(dead_code)] // the generator needs more of it
mod made;
mod pages;
mod plans;

use made::{Kind, Space, Sum};

/// The size of the input of each loop.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Bytes of pages.
    pub bytes: usize,
    /// Files of a manifest.
    pub files: u32,
    /// Members of a chain.
    pub members: u32,
}

/// The amount of work of one run.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// Bytes.
    Bytes(u64),
    /// Files or members.
    Items(u64),
}

/// One loop.
pub struct Loop {
    /// `group/name`; the names in `testdata/instructions.json`.
    pub name: String,
    /// The amount of work of one run.
    pub load: Load,
    /// True if its instructions can be counted, because all of its work runs in the calling thread.
    pub counted: bool,
    /// Runs the loop once; returns a value that depends on its work.
    pub run: Box<dyn FnMut() -> usize>,
}

impl Loop {
    fn bytes(name: impl Into<String>, bytes: usize, run: impl FnMut() -> usize + 'static) -> Self {
        Self {
            name: name.into(),
            load: Load::Bytes(bytes as u64),
            counted: true,
            run: Box::new(run),
        }
    }

    fn items(name: impl Into<String>, items: u32, run: impl FnMut() -> usize + 'static) -> Self {
        Self {
            load: Load::Items(u64::from(items)),
            ..Self::bytes(name, 0, run)
        }
    }

    fn not_counted(mut self) -> Self {
        self.counted = false;
        self
    }
}

/// Every loop.
pub fn all(scale: Scale) -> Vec<Loop> {
    let mut loops = pages::loops(scale);
    loops.extend(formats::loops(scale));
    loops.extend(codecs::loops(scale));
    loops.extend(plans::loops(scale));
    loops
}

/// The id of the table that all pages are of.
const SPACE: u32 = 7;
/// The LSNs of all pages are below this.
const NEWEST: u64 = 1_000_000;

fn table(page_size: usize, sum: Sum, bytes: usize) -> Space {
    Space {
        id: SPACE,
        kind: Kind::Table,
        page_size,
        pages: (bytes / page_size) as u32,
        sum,
    }
}

/// Returns a range of valid pages of one table, as read from the disk.
fn run(space: &Space) -> Vec<u8> {
    let mut all = vec![0; space.pages as usize * space.page_size];
    for (no, page) in (0..).zip(all.chunks_exact_mut(space.page_size)) {
        space.write(no, NEWEST - 1 - u64::from(no), 1, page);
    }
    all
}
