//! Quotes words for a POSIX shell.

/// Returns a word that a shell reads as `text`.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_if_a_shell_would_change_them() {
        for (text, expected) in [
            ("/var/lib/mysql", "/var/lib/mysql"),
            ("--gtid-mode=ON", "--gtid-mode=ON"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$(x)", "'$(x)'"),
            ("ibdata1:12M;ibdata2:1M", "'ibdata1:12M;ibdata2:1M'"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
