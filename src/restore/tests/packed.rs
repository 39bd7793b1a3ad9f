//! A chain of many small tables in packs, in a store that counts requests: many threads that read
//! it must fetch each window of a pack about once.

use crate::reader::fixture::{Space, World, start_of, system};
use crate::store::Repository;
use crate::store::tests::faults::Faulty;
use crate::store::windows::STEP;
use object_store::memory::InMemory;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Pages of a table; all but one are in each incremental.
const PAGES: usize = 30;

pub(crate) struct Packed {
    pub(crate) world: World,
    /// The content of the last member.
    pub(crate) spaces: Vec<Space>,
    store: Arc<Faulty>,
}

impl Packed {
    pub(crate) fn chain(tables: u32, members: usize) -> Self {
        let store = Faulty::new(Arc::new(InMemory::new()));
        let mut world = World::new();
        world.repo = Repository::over("memory:", store.clone()).unwrap();
        world.object_pages = PAGES;
        world.packs = u32::MAX;
        let mut spaces = system();
        let table = |n| Space::new(10 + n, &format!("db/t{n:04}.ibd"), PAGES, 50);
        spaces.extend((0..tables).map(table));
        world.backup(&spaces);
        for number in 0..members - 1 {
            for space in &mut spaces[2..] {
                (0..PAGES - 1).for_each(|no| space.write(no, start_of(number) + 1, number as u8));
            }
            world.backup(&spaces);
        }
        Self {
            world,
            spaces,
            store,
        }
    }

    /// Returns the number of windows of all members.
    pub(crate) fn windows(&self) -> usize {
        let stored: u64 = self.world.chain.iter().map(|m| m.stored_bytes()).sum();
        stored as usize / STEP as usize
    }

    /// Returns the number of read requests so far.
    pub(crate) fn reads(&self) -> usize {
        self.store.calls.load(Ordering::SeqCst) - self.puts()
    }

    /// Returns the number of write requests so far.
    pub(crate) fn puts(&self) -> usize {
        self.store.puts.load(Ordering::SeqCst)
    }
}
