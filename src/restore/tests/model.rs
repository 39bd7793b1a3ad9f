//! Random histories of tablespaces against a simple model: a restore returns the state at the
//! newest backup.

use crate::reader::fixture::{Space, World, start_of, system};
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write {
        space: usize,
        page: usize,
        fill: u8,
    },
    Run {
        space: usize,
        page: usize,
        length: usize,
        fill: u8,
    },
    Grow {
        space: usize,
        by: usize,
    },
    Shrink {
        space: usize,
        by: usize,
    },
    Create {
        pages: usize,
    },
    Drop {
        space: usize,
    },
    Rename {
        space: usize,
    },
    Truncate {
        space: usize,
    },
    Backup,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let space = 0usize..8;
    prop_oneof![
        8 => (space.clone(), 0usize..300, 2u8..255).prop_map(|(space, page, fill)| Step::Write { space, page, fill }),
        4 => (space.clone(), 0usize..300, 1usize..280, 2u8..255)
            .prop_map(|(space, page, length, fill)| Step::Run { space, page, length, fill }),
        2 => (space.clone(), 1usize..40).prop_map(|(space, by)| Step::Grow { space, by }),
        1 => (space.clone(), 1usize..40).prop_map(|(space, by)| Step::Shrink { space, by }),
        2 => (1usize..60).prop_map(|pages| Step::Create { pages }),
        1 => space.clone().prop_map(|space| Step::Drop { space }),
        2 => space.clone().prop_map(|space| Step::Rename { space }),
        1 => space.prop_map(|space| Step::Truncate { space }),
        3 => Just(Step::Backup),
    ]
}

/// A server: tablespaces, the next id, the LSN.
struct Server {
    spaces: Vec<Space>,
    next: u32,
    shrunk: std::collections::BTreeSet<u32>,
    lsn: u64,
}

impl Server {
    fn space(&mut self, number: usize) -> &mut Space {
        let count = self.spaces.len();
        &mut self.spaces[number % count]
    }

    fn create(&mut self, name: Option<String>, pages: usize) {
        let id = self.next;
        self.next += 1;
        let name = name.unwrap_or_else(|| format!("db{}/t{id}.ibd", id % 3));
        let mut space = Space::new(id, &name, 1, self.lsn);
        space.pages.resize(pages, None);
        self.spaces.push(space);
    }

    fn step(&mut self, step: &Step) {
        self.lsn += 1;
        let lsn = self.lsn;
        match *step {
            Step::Write { space, page, fill } => {
                let space = self.space(space);
                let page = page % space.pages.len();
                space.write(page, lsn, fill);
            }
            Step::Run {
                space,
                page,
                length,
                fill,
            } => {
                let space = self.space(space);
                let end = (page + length).min(space.pages.len());
                for no in page..end {
                    space.write(no, lsn, fill);
                }
            }
            Step::Grow { space, by } => {
                // During the life of a space id, a server never makes a page zero again: pages that
                // are added again after a shrink are written.
                let id = self.space(space).id;
                let again = self.shrunk.contains(&id);
                let space = self.space(space);
                let pages = space.pages.len() + by;
                space.pages.resize(pages, again.then_some((lsn, 0xEE)));
            }
            Step::Shrink { space, by } => {
                let space = self.space(space);
                let pages = space.pages.len().saturating_sub(by).max(1);
                space.pages.truncate(pages);
                let id = space.id;
                self.shrunk.insert(id);
            }
            Step::Create { pages } => self.create(None, pages),
            Step::Drop { space } => {
                let number = space % self.spaces.len();
                if number >= 2 {
                    self.spaces.remove(number);
                }
            }
            Step::Rename { space } => {
                let number = space % self.spaces.len();
                if number >= 2 {
                    self.spaces[number].name = format!("moved/r{lsn}.ibd");
                }
            }
            Step::Truncate { space } => {
                let number = space % self.spaces.len();
                if number >= 2 {
                    let old = self.spaces.remove(number);
                    self.create(Some(old.name), old.pages.len());
                }
            }
            Step::Backup => {}
        }
    }
}

/// Applies the steps to a server; returns the members of its chain, and its state at each.
pub(crate) fn walk(steps: &[Step], object_pages: usize, packs: u32) -> (World, Vec<Vec<Space>>) {
    let mut world = World::new();
    world.object_pages = object_pages;
    world.packs = packs;
    let mut server = Server {
        spaces: system(),
        next: 5,
        shrunk: Default::default(),
        lsn: 10,
    };
    server.create(None, 290);
    world.backup(&server.spaces);
    let mut seen = vec![server.spaces.clone()];
    server.lsn = start_of(0) - 1;
    for step in steps {
        server.step(step);
        if matches!(step, Step::Backup) && seen.len() < 5 {
            world.backup(&server.spaces);
            seen.push(server.spaces.clone());
            server.lsn = start_of(seen.len() - 1) - 1;
        }
    }
    (world, seen)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_restore_returns_the_state_at_the_backup(
        steps in proptest::collection::vec(step(), 1..60),
        object_pages in 1usize..20,
        packs in 0u32..32,
    ) {
        let (world, seen) = walk(&steps, object_pages, packs);
        for (number, spaces) in seen.iter().enumerate() {
            world.merge(number).unwrap().expect(spaces);
        }
    }
}
