//! The values of `--schedule` and `--slot`, which the agent gives to its jobs.

use crate::store::valid_schedule_name;
use chrono::{DateTime, Utc};

/// A slot and the claim of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// The nominal time.
    pub(super) time: DateTime<Utc>,
    /// The UUID of the claim.
    pub(super) token: String,
}

/// Parses the name of a schedule.
pub(super) fn parse_schedule(text: &str) -> Result<String, String> {
    match valid_schedule_name(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("expected 1 to 63 letters, digits, `-`, `_` and `.`, not `.` first".to_owned())
        }
    }
}

/// Parses `TIME/UUID`.
pub(super) fn parse(text: &str) -> Result<Slot, String> {
    let wrong = || "expected TIME/UUID, for example 2026-12-01T02:00:00Z/<UUID>".to_owned();
    let (time, token) = text.split_once('/').ok_or_else(wrong)?;
    let time: DateTime<Utc> = time.parse().map_err(|_| wrong())?;
    let token = uuid::Uuid::parse_str(token).map_err(|_| wrong())?;
    Ok(Slot {
        time,
        token: token.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_has_a_name_without_a_path() {
        assert_eq!(parse_schedule("nightly").as_deref(), Ok("nightly"));
        assert!(parse_schedule("../x").is_err());
    }

    #[test]
    fn a_slot_has_a_time_and_a_uuid() {
        let token = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let slot = parse(&format!("2026-12-01T02:00:00Z/{token}")).unwrap();
        assert_eq!(
            (slot.time.timestamp(), slot.token.as_str()),
            (1_796_090_400, token)
        );
        for bad in [
            "",
            "/",
            "2026-12-01T02:00:00Z",
            "2026-12-01/67e55044",
            &format!("now/{token}"),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
