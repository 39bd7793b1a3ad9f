//! `xtrabackup_info` and `backup-my.cnf` of any program: lines `key = value`.

/// Returns the value of the first line `key = value` or `key=value`; "" if the value is empty,
/// `None` if there is no such line.
pub(crate) fn line_value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(found, _)| found.trim() == key)
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_whole_key() {
        let text = "uuid = a\ntool_name=xtrabackup\nname = \nserver_version = 8.4.5 \nuuid = b\nx = a = b\nrest";
        for (key, expected) in [
            ("uuid", Some("a")),
            ("tool_name", Some("xtrabackup")),
            ("name", Some("")),
            ("server_version", Some("8.4.5")),
            ("x", Some("a = b")),
            ("server", None),
            ("version", None),
            ("rest", None),
        ] {
            assert_eq!(line_value(text, key), expected, "{key}");
        }
    }
}
