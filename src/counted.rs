//! Counts with nouns in messages: the only place that builds a plural (`tests/plurals.rs` enforces
//! this).

use std::fmt;

/// A number type that can count things.
pub(crate) trait Number {
    /// Returns the number as `u64`; larger numbers become 2^64 - 1.
    fn number(&self) -> u64;
}

macro_rules! number {
    ($($of:ty)*) => {$(
        impl Number for $of {
            fn number(&self) -> u64 {
                (*self).try_into().unwrap_or(u64::MAX)
            }
        }
    )*};
}

number!(u8 u16 u32 u64 u128 usize i32 i64);

impl<N: Number + ?Sized> Number for &N {
    fn number(&self) -> u64 {
        (**self).number()
    }
}

/// See [`count`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count<'a> {
    number: u64,
    thing: &'a str,
}

/// Formats a count with its noun: `1 file`, `3 files`, `0 entries`. `thing` is the singular and
/// ends with the noun.
pub(crate) fn count<N: Number>(number: N, thing: &str) -> Count<'_> {
    Count {
        number: number.number(),
        thing,
    }
}

impl fmt::Display for Count<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, thing } = self;
        if *number == 1 {
            return write!(f, "1 {thing}");
        }
        match thing.strip_suffix('y') {
            Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => write!(f, "{number} {stem}ies"),
            _ if thing.ends_with(['s', 'x', 'h']) => write!(f, "{number} {thing}es"),
            _ => write!(f, "{number} {thing}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_has_no_plural() {
        for (number, thing, expected) in [
            (0, "file", "0 files"),
            (1, "file", "1 file"),
            (2, "file", "2 files"),
            (1, "entry", "1 entry"),
            (3, "empty entry", "3 empty entries"),
            (2, "key", "2 keys"),
            (5, "match", "5 matches"),
        ] {
            assert_eq!(count(number, thing).to_string(), expected);
        }
        let most = &u128::MAX;
        assert_eq!(
            count(most, "byte").to_string(),
            format!("{} bytes", u64::MAX)
        );
    }
}
