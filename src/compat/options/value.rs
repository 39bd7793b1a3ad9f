//! The values of options: switches, numbers with suffixes, words.

use super::OptionError;
use super::spec::{Kind, Spec};

/// Reads a Boolean value: 1, 0, ON, OFF, TRUE or FALSE in upper or lower case.
///
/// MySQL's programs take any other text for OFF, with a warning. Here it is an error: an
/// `--apply-log-only=yes` that is taken for OFF would end a chain.
pub(super) fn switch(spec: &Spec, text: &str) -> Result<bool, OptionError> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "true" => Ok(true),
        "0" | "off" | "false" => Ok(false),
        _ => Err(OptionError::Value {
            option: spec.name,
            found: text.to_owned(),
            expected: "ON or OFF".to_owned(),
        }),
    }
}

/// Reads a whole number with its suffix, and limits it to the values of the option. Returns whether
/// it was changed.
pub(super) fn number(spec: &Spec, text: &str) -> Result<(u64, bool), OptionError> {
    let Kind::Number { min, max } = spec.kind else {
        return Err(OptionError::Value {
            option: spec.name,
            found: text.to_owned(),
            expected: "a text".to_owned(),
        });
    };
    let wrong = || OptionError::Value {
        option: spec.name,
        found: text.to_owned(),
        expected: "a whole number with an optional suffix K, M, G, T, P or E".to_owned(),
    };
    let trimmed = text.trim();
    let negative = trimmed.starts_with('-');
    let digits_and_suffix = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    let end = digits_and_suffix
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits_and_suffix.len());
    let (digits, suffix) = digits_and_suffix.split_at(end);
    if digits.is_empty() {
        return Err(wrong());
    }
    let shift = match suffix.to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        "E" => 60,
        _ => return Err(wrong()),
    };
    // Too large for a u128 is too large for any option.
    let magnitude = digits.parse::<u64>().map_or(u128::MAX, u128::from);
    let magnitude = magnitude.checked_shl(shift).unwrap_or(u128::MAX);
    let value = u64::try_from(magnitude).unwrap_or(u64::MAX);
    let value = if negative { 0 } else { value };
    let limited = value.clamp(min, max);
    let exact = limited == value && !(negative && magnitude > 0) && u128::from(value) == magnitude;
    Ok((limited, !exact))
}

/// Checks that the value is one of the words of the option, and returns that word.
pub(super) fn word(spec: &Spec, text: &str) -> Result<&'static str, OptionError> {
    let Kind::Word(words) = spec.kind else {
        return Err(OptionError::Value {
            option: spec.name,
            found: text.to_owned(),
            expected: "a text".to_owned(),
        });
    };
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| OptionError::Value {
        option: spec.name,
        found: text.to_owned(),
        expected: format!("one of {}", words.join(", ")),
    })
}
