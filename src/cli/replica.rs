//! Prints a replica's position.

use crate::manifest::SourcePosition;

/// Describes one channel: its source, and the position at which a replica made from the backup continues.
pub(super) fn source(channel: &SourcePosition) -> String {
    let mut out = format!("{}:{}", channel.host, channel.port);
    if !channel.channel.is_empty() {
        out += &format!(", channel {}", channel.channel);
    }
    match (&channel.file, channel.position, &channel.unknown) {
        (Some(file), Some(position), _) => out += &format!(", {file} position {position}"),
        (_, _, Some(why)) => out += &format!(", position NOT KNOWN: {why}"),
        _ if channel.auto_position => out += ", by GTIDs",
        _ => {}
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_channel() {
        let mut channel = SourcePosition {
            channel: String::new(),
            host: "db1".into(),
            port: 3306,
            auto_position: true,
            file: None,
            position: None,
            unknown: None,
        };
        assert_eq!(source(&channel), "db1:3306, by GTIDs");
        channel.auto_position = false;
        channel.channel = "a".into();
        channel.unknown = Some("it moved".into());
        assert_eq!(
            source(&channel),
            "db1:3306, channel a, position NOT KNOWN: it moved"
        );
        channel.unknown = None;
        channel.file = Some("b.000001".into());
        channel.position = Some(4);
        assert_eq!(source(&channel), "db1:3306, channel a, b.000001 position 4");
    }
}
