//! Random choices that a seed repeats (`SplitMix64`, Steele, Lea and Flood 2014).

/// A generator of pseudorandom numbers.
#[derive(Debug, Clone)]
pub(crate) struct Sample(u64);

impl Sample {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(end);
        (product >> 64) as u64
    }

    /// Puts the items into a random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = self.below(at as u64 + 1);
            items.swap(at, usize::try_from(other).unwrap_or(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_the_order() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..100).collect();
            Sample::new(seed).shuffle(&mut items);
            items
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let mut sorted = order(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        // The first number of the generator with this seed, from its authors' code.
        assert_eq!(Sample::new(1_234_567).next(), 6_457_827_717_110_365_317);
    }

    #[test]
    fn numbers_are_below_the_end() {
        let mut sample = Sample::new(1);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[usize::try_from(sample.below(5)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
        assert_eq!(sample.below(0), 0);
    }
}
