//! Checks of the text of a GTID set, which is compared with that of a recovering server.
//!
//! ```text
//! 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:11-18:tag:1-3,
//! 2174b383-5441-11e8-b90a-c80aa9429562:1
//! ```

/// Longest tag, in characters.
const LONGEST_TAG: usize = 32;

/// Returns the part of the text that a server doesn't accept as a GTID set; `None` if it is valid.
/// Spaces and empty parts between commas are accepted, as a server does.
pub(super) fn fault(text: &str) -> Option<&str> {
    let sets = text.split(',').map(str::trim);
    let mut wrong = sets.filter(|set| !set.is_empty()).filter_map(fault_of_one);
    wrong.next()
}

/// Checks the part of one server or group.
fn fault_of_one(set: &str) -> Option<&str> {
    let mut parts = set.split(':').map(str::trim);
    let source = parts.next().unwrap_or_default();
    if !is_uuid(source) {
        return Some(source);
    }
    let mut rest = parts.peekable();
    if rest.peek().is_none() {
        return Some(set);
    }
    rest.find(|part| !is_tag(part) && !is_interval(part))
}

fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(str::len);
    let hex = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    groups.eq([8, 4, 4, 4, 12]) && text.bytes().all(hex)
}

fn is_tag(text: &str) -> bool {
    let first = |b: &u8| b.is_ascii_alphabetic() || *b == b'_';
    let other = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.as_bytes().first().is_some_and(first)
        && text.len() <= LONGEST_TAG
        && text.bytes().all(other)
}

fn is_interval(text: &str) -> bool {
    let number = |text: &str| text.trim().parse::<u64>().is_ok_and(|n| n > 0);
    match text.split_once('-') {
        None => number(text),
        Some((from, to)) => number(from) && number(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn sets_as_servers_write_them() {
        for good in [
            String::new(),
            format!("{UUID}:1"),
            format!("{UUID}:1-5:7-9"),
            format!("{UUID}:1-5,\n{UUID}:7 , "),
            format!("{}:1-9223372036854775806", UUID.to_uppercase()),
            format!("{UUID}:1-3:tag_1:1-5:8"),
        ] {
            assert_eq!(fault(&good), None, "{good}");
        }
        let only = UUID.to_owned();
        for (bad, part) in [
            ("../x", "../x"),
            ("x", "x"),
            (&only, UUID),
            (&format!("{UUID}:"), ""),
            (&format!("{UUID}:0"), "0"),
            (&format!("{UUID}:1-"), "1-"),
            (&format!("{UUID}:1,../y:1"), "../y"),
            (&format!("{UUID}/x:1"), &format!("{UUID}/x")),
            (&format!("{UUID}:1-2'"), "1-2'"),
            (&format!("{UUID}:{}", "t".repeat(33)), &"t".repeat(33)),
        ] {
            assert_eq!(fault(bad), Some(part), "{bad}");
        }
    }
}
