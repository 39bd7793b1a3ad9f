//! The size of the objects of a full backup: few enough objects to list and to record in a
//! manifest, small enough to be held in memory.
//!
//! An object is put by one request, because a multipart upload has no create-only form; so it is in
//! memory as a whole, for each upload and each reading thread. 8 MiB are best as long as the number
//! of objects is acceptable: the latency of a request is amortised, and a restore that needs one
//! page fetches little else. A database of 10 TiB would have 1.3 million such objects, so the size
//! grows with the database. The chunks in the objects don't grow: readers of xbstreams expect 10
//! MiB.

use super::{BackupError, BackupOptions, RANGE_BYTES};

/// Up to this many bytes of tablespaces (first number), objects have this many bytes (second
/// number).
const STEPS: [(u64, usize); 2] = [(1 << 40, RANGE_BYTES), (4 << 40, 2 * RANGE_BYTES)];
/// Size of objects above the last step, in bytes.
const LARGEST: usize = 4 * RANGE_BYTES;
/// Permitted values of `BackupOptions::object_size`, in bytes: more than the largest page, and not
/// more than one request should carry.
const CHOICE: std::ops::RangeInclusive<usize> = 1 << 20..=256 << 20;

/// Returns the maximum number of objects in memory: one for each upload and each thread; a
/// compressed or encrypted object is made from another one, which doubles twice.
pub(super) fn held(options: &BackupOptions) -> usize {
    let wrapped = options.compression.is_some() || options.key.is_some();
    options.uploads + options.threads * if wrapped { 3 } else { 1 }
}

/// Checks `BackupOptions::object_size`, if set.
///
/// # Errors
/// The same as [`choose`].
pub(super) fn check(options: &BackupOptions) -> Result<(), BackupError> {
    if options.object_size.is_some() {
        choose(0, options.object_size, options.memory, held(options))?;
    }
    Ok(())
}

/// Returns the object size in bytes for `total` bytes of tablespaces, if at most `held` objects are
/// in memory. It is a power of two, and so a multiple of every page size.
///
/// # Errors
/// [`BackupError::ObjectSize`] if `wanted` is not a valid size, or `memory` can't hold `held`
/// objects of it.
pub(super) fn choose(
    total: u64,
    wanted: Option<usize>,
    memory: usize,
    held: usize,
) -> Result<usize, BackupError> {
    let fits = |size: usize| size.checked_mul(held).is_some_and(|all| all <= memory);
    if let Some(bytes) = wanted {
        let why = if !bytes.is_power_of_two() || !CHOICE.contains(&bytes) {
            "expected a power of two from 1MiB to 256MiB".to_owned()
        } else if !fits(bytes) {
            let needed = (bytes >> 20).saturating_mul(held);
            format!(
                "{held} of them are held in memory at a time: set BackupOptions::memory to {needed}MiB or more"
            )
        } else {
            return Ok(bytes);
        };
        return Err(BackupError::ObjectSize { bytes, why });
    }
    let step = STEPS.iter().find(|(up_to, _)| total <= *up_to);
    let mut size = step.map_or(LARGEST, |(_, size)| *size);
    while size > RANGE_BYTES && !fits(size) {
        size /= 2;
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;
    const TIB: u64 = 1 << 40;

    #[test]
    fn objects_grow_with_the_database() {
        // The defaults of `lsnap backup` on two cores: 256 MiB, 4 uploads and 2 threads.
        let size = |total, memory| choose(total, None, memory * MIB, 6).unwrap();
        for (total, mib, objects) in [
            (TIB / 1024, 8, 128),
            (TIB, 8, 131_072),
            (TIB + 1, 16, 65_537),
            (4 * TIB, 16, 262_144),
            (10 * TIB, 32, 327_680),
        ] {
            let size = size(total, 256);
            assert_eq!(size, mib * MIB, "{total}");
            assert_eq!(total.div_ceil(size as u64), objects, "{total}");
        }
        // The memory limit has precedence, down to objects of 8 MiB.
        assert_eq!(size(10 * TIB, 128), 16 * MIB);
        assert_eq!(size(10 * TIB, 64), 8 * MIB);
        assert_eq!(size(10 * TIB, 1), 8 * MIB);
    }

    #[test]
    fn a_given_size_is_accepted_or_refused_with_the_reason() {
        let choose = |bytes| choose(10 * TIB, Some(bytes), 256 * MIB, 6);
        assert_eq!(choose(MIB).unwrap(), MIB);
        assert_eq!(choose(32 * MIB).unwrap(), 32 * MIB);
        let why = |bytes| choose(bytes).unwrap_err().to_string();
        assert!(
            why(64 * MIB).contains("BackupOptions::memory to 384MiB"),
            "{}",
            why(64 * MIB)
        );
        for bytes in [0, 1, MIB / 2, 3 * MIB, 512 * MIB, usize::MAX] {
            assert!(why(bytes).contains("power of two"), "{bytes}");
        }
    }
}
