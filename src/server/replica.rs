//! `xtrabackup_slave_info`: the statements that make a restored copy of a replica a replica of the same source.
//!
//! Content as in spec 3.5, in the words of 8.0.23 and later (`CHANGE REPLICATION SOURCE TO ... SOURCE_*`; the
//! old words are gone from 8.4). Channels of group replication are left out: the group sets them up itself.

use super::connect::Cells;
use super::log_status::one_line;
use super::{Server, ServerError};

/// One channel of `SHOW REPLICA STATUS`, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Channel {
    name: String,
    auto_position: bool,
    source_file: String,
    source_position: u64,
}

impl Server {
    /// The text of `xtrabackup_slave_info`; `None` when this server is no replica. Needs `REPLICATION CLIENT`.
    ///
    /// Without auto-position and with more than one applier worker the position is a low-water mark: transactions
    /// after it may have been applied already.
    ///
    /// # Errors
    /// A failed query, or a row of another shape.
    pub fn replica_info(&mut self) -> Result<Option<String>, ServerError> {
        let rows = self.rows("asking for the replication channels", "SHOW REPLICA STATUS")?;
        let channels = rows.iter().map(channel).collect::<Result<Vec<_>, _>>()?;
        let gtids = self.gtid_executed()?;
        Ok(statements(&channels, gtids.as_deref()))
    }
}

fn channel(row: &Cells) -> Result<Channel, ServerError> {
    let text = |name: &str| {
        let found = row.named(name);
        found.map(str::to_string).ok_or_else(|| {
            ServerError::unexpected(
                format!("SHOW REPLICA STATUS, column {name}"),
                "nothing",
                "a value",
            )
        })
    };
    let position = text("Exec_Source_Log_Pos")?;
    Ok(Channel {
        name: text("Channel_Name")?,
        auto_position: text("Auto_Position")? == "1",
        source_file: text("Relay_Source_Log_File")?,
        source_position: position.parse().map_err(|_| {
            ServerError::unexpected(
                "SHOW REPLICA STATUS, column Exec_Source_Log_Pos",
                position,
                "a number",
            )
        })?,
    })
}

fn statements(channels: &[Channel], gtid_executed: Option<&str>) -> Option<String> {
    let mut out = String::new();
    let mut purged_said = false;
    for channel in channels
        .iter()
        .filter(|c| !c.name.starts_with("group_replication_"))
    {
        if channel.auto_position && !purged_said {
            let gtids = one_line(gtid_executed.unwrap_or_default());
            out.push_str(&format!("SET GLOBAL gtid_purged='{gtids}';\n"));
            purged_said = true;
        }
        out.push_str("CHANGE REPLICATION SOURCE TO ");
        if channel.auto_position {
            out.push_str("SOURCE_AUTO_POSITION=1");
        } else {
            let (file, position) = (quoted(&channel.source_file), channel.source_position);
            out.push_str(&format!(
                "SOURCE_LOG_FILE={file}, SOURCE_LOG_POS={position}"
            ));
        }
        if !channel.name.is_empty() {
            out.push_str(&format!(" FOR CHANNEL {}", quoted(&channel.name)));
        }
        out.push_str(";\n");
    }
    (!out.is_empty()).then_some(out)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str, auto_position: bool) -> Channel {
        Channel {
            name: name.into(),
            auto_position,
            source_file: "binlog.000007".into(),
            source_position: 197,
        }
    }

    #[test]
    fn by_gtid_purged_is_said_once() {
        let all = [
            channel("group_replication_applier", true),
            channel("", true),
            channel("o'ne", true),
        ];
        let text = statements(&all, Some("u:1-5,\nv:1")).unwrap();
        assert_eq!(
            text,
            "SET GLOBAL gtid_purged='u:1-5,v:1';\n\
             CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1;\n\
             CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1 FOR CHANNEL 'o''ne';\n"
        );
    }

    #[test]
    fn by_position() {
        assert_eq!(
            statements(&[channel("c", false)], None).unwrap(),
            "CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='binlog.000007', SOURCE_LOG_POS=197 FOR CHANNEL 'c';\n"
        );
    }

    #[test]
    fn no_replica() {
        assert_eq!(statements(&[], Some("u:1")), None);
        assert_eq!(
            statements(&[channel("group_replication_recovery", true)], None),
            None
        );
    }
}
