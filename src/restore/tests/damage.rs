//! Damage that must fail a restore, with an error that names the object.

use crate::manifest::FileRole;
use crate::reader::fixture::{P, Space, World, start_of, system};

fn world() -> (World, Vec<Space>) {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 20, 50));
    world.backup(&spaces);
    spaces[2].write(5, start_of(0) + 1, 2);
    world.backup(&spaces);
    (world, spaces)
}

fn error(world: &World, number: usize) -> String {
    match world.merge(number) {
        Ok(_) => panic!("it must fail"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_missing_object() {
    let (world, _) = world();
    std::fs::remove_file(world.object(0, "db/t.ibd", 3)).unwrap();
    let text = error(&world, 1);
    assert!(text.contains("db/t.ibd"), "{text}");
}

#[test]
fn a_flipped_byte() {
    let (world, _) = world();
    for (number, path) in [(0, "db/t.ibd"), (1, "db/t.ibd.delta")] {
        let object = world.object(number, path, 0);
        let good = std::fs::read(&object).unwrap();
        for at in [0, 20, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&object, &bad).unwrap();
            let text = error(&world, 1);
            assert!(text.contains(path), "{text}");
        }
        std::fs::write(&object, &good).unwrap();
    }
    world.merge(1).unwrap();
}

/// The manifest lacks the last object: every digest is right, and the file is too short.
#[test]
fn a_file_without_its_end() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 20, 50));
    world.backup_with_changes(&spaces, |manifest| {
        let file = manifest
            .files
            .iter_mut()
            .find(|f| f.path.as_stored() == "db/t.ibd")
            .unwrap();
        file.objects.pop();
    });
    let text = error(&world, 0);
    assert!(
        text.contains("db/t.ibd") && text.contains("truncated"),
        "{text}"
    );
}

/// The same, and the length is adjusted: only the end chunk is missing.
#[test]
fn a_file_without_its_end_chunk() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 20, 50));
    world.backup_with_changes(&spaces, |manifest| {
        let file = &mut manifest.files[2];
        let last = file.objects.pop().unwrap();
        file.bytes = last.offset;
        let FileRole::Tablespace(space) = &mut file.role else {
            panic!()
        };
        space.bytes = last.offset;
    });
    let text = error(&world, 0);
    assert!(
        text.contains("db/t.ibd") && text.contains("end chunk"),
        "{text}"
    );
}

#[test]
fn a_file_that_is_shorter_than_in_the_manifest() {
    for longer in [P as u64, 10 * P as u64] {
        let mut world = World::new();
        let mut spaces = system();
        spaces.push(Space::new(7, "db/t.ibd", 20, 50));
        world.backup_with_changes(&spaces, |manifest| {
            let file = manifest
                .files
                .iter_mut()
                .find(|f| f.path.as_stored() == "db/t.ibd")
                .unwrap();
            file.bytes += longer;
            let FileRole::Tablespace(space) = &mut file.role else {
                panic!()
            };
            space.bytes += longer;
        });
        let text = error(&world, 0);
        assert!(
            text.contains("db/t.ibd") && text.contains("truncated"),
            "{text}"
        );
    }
}

#[test]
fn a_delta_whose_last_cluster_is_missing() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 600, 50));
    world.backup(&spaces);
    for no in 0..600 {
        spaces[2].write(no, start_of(0) + 1, 2);
    }
    world.backup_with_changes(&spaces, |manifest| {
        let file = manifest
            .files
            .iter_mut()
            .find(|f| f.path.as_stored() == "db/t.ibd.delta")
            .unwrap();
        let cut = 256 * P as u64;
        file.objects.retain(|object| object.offset < cut);
        file.bytes = cut;
    });
    let text = error(&world, 1);
    assert!(
        text.contains("db/t.ibd.delta") && text.contains("truncated"),
        "{text}"
    );
}

/// Objects of another file, with the right digests.
#[test]
fn bytes_of_another_file() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 9, 50));
    spaces.push(Space::new(8, "db/u.ibd", 9, 50));
    world.backup(&spaces);
    let (t, u) = (
        world.object(0, "db/t.ibd", 1),
        world.object(0, "db/u.ibd", 1),
    );
    std::fs::copy(u, t).unwrap();
    let text = error(&world, 0);
    assert!(text.contains("db/t.ibd"), "{text}");
}

/// A manifest with the id of another space for a file.
#[test]
fn a_first_page_of_another_space() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 9, 50));
    world.backup_with_changes(&spaces, |manifest| {
        let file = manifest
            .files
            .iter_mut()
            .find(|f| f.path.as_stored() == "db/t.ibd")
            .unwrap();
        let FileRole::Tablespace(space) = &mut file.role else {
            panic!()
        };
        space.space_id = crate::innodb::SpaceId(70);
    });
    let text = error(&world, 0);
    assert!(
        text.contains("space 7") && text.contains("space 70"),
        "{text}"
    );
}
