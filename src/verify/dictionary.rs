//! The properties of the data dictionary with which a restored server must agree.
//!
//! `mysql.dd_properties` has one row with one long value. It begins on a page of the type "first
//! page of a LOB" (seen on MySQL 9.7.4):
//!
//! ```text
//!  24 page type u16 = 24      696 DD_VERSION=90200;IS_VERSION=90500;LCTN=0;MINOR_DOWNGRADE_THRESHOLD=0;...
//! ```
//!
//! Pages of earlier versions of the row can be in the file too; `LCTN` is the same in all of them,
//! because it is fixed when the data directory is created. In an encrypted dictionary nothing is
//! found.

use crate::innodb::{PageKind, page};

/// Offset of the data of a LOB on its first page, in bytes.
const DATA: usize = 696;
/// Bytes of the value that are searched.
const HEAD: usize = 256;

/// Returns `lower_case_table_names` of the server that created the dictionary, if this page has it.
pub(super) fn lower_case(bytes: &[u8]) -> Option<u8> {
    if page::kind(bytes) != PageKind::LOB_FIRST {
        return None;
    }
    let value = bytes.get(DATA..)?;
    let value = std::str::from_utf8(value.get(..HEAD.min(value.len()))?).ok()?;
    let rest = value.strip_prefix("DD_VERSION=")?;
    let mut properties = rest.split(';').skip(1);
    let setting = properties.find_map(|property| property.strip_prefix("LCTN="))?;
    setting.parse().ok().filter(|value| *value <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_with(kind: u16, value: &str) -> Vec<u8> {
        let mut page = vec![0; 16384];
        page[24..26].copy_from_slice(&kind.to_be_bytes());
        page[DATA..DATA + value.len()].copy_from_slice(value.as_bytes());
        page
    }

    #[test]
    fn the_setting_is_found_in_the_page_of_the_server() {
        let real = "DD_VERSION=90200;IS_VERSION=90500;LCTN=1;MINOR_DOWNGRADE_THRESHOLD=0;";
        let shorter = "DD_VERSION=90200;LCTN=0;MINOR_DOWNGRADE_THRESHOLD=0;";
        assert_eq!(lower_case(&page_with(24, real)), Some(1));
        assert_eq!(lower_case(&page_with(24, shorter)), Some(0));
        for (kind, value) in [
            (17855, real),
            (24, "x=DD_VERSION=90200;LCTN=0;"),
            (24, "DD_VERSION=90200;LCTN=7;"),
            (24, "DD_VERSION=90200;IS_VERSION=1;"),
        ] {
            assert_eq!(lower_case(&page_with(kind, value)), None, "{value}");
        }
        assert_eq!(lower_case(&page_with(24, real)[..700]), None);
        assert_eq!(lower_case(&[]), None);
    }
}
