//! The server's own list of its tablespace files.

use super::{Server, ServerError};

/// One row of `INFORMATION_SCHEMA.FILES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablespaceRow {
    /// The tablespace's id; 0 for each file of the system tablespace.
    pub space_id: u32,
    /// The tablespace's name as the server writes it, such as `db/t`, `db/t#p#p0`, `innodb_undo_001`.
    pub name: String,
    /// The file as the server gives it: relative ones (`./db/t.ibd`) are relative to the datadir. Names of schemas
    /// and tables are in the server's filename encoding (`@0023` for `#`).
    pub path: String,
    /// Whether it is an undo tablespace.
    pub undo: bool,
}

impl Server {
    /// Every InnoDB file but the temporary ones, in the order of id and path; needs `PROCESS`.
    ///
    /// # Errors
    /// A failed query, or a row of another shape.
    pub fn tablespaces(&mut self) -> Result<Vec<TablespaceRow>, ServerError> {
        let rows = self.rows(
            "listing the tablespaces",
            "SELECT FILE_ID, TABLESPACE_NAME, FILE_NAME, FILE_TYPE FROM INFORMATION_SCHEMA.FILES \
             WHERE ENGINE = 'InnoDB' AND FILE_TYPE <> 'TEMPORARY' \
             AND FILE_ID IS NOT NULL ORDER BY FILE_ID, FILE_NAME",
        )?;
        rows.iter()
            .map(|row| {
                Ok(TablespaceRow {
                    space_id: row.number(0, "INFORMATION_SCHEMA.FILES.FILE_ID")?,
                    name: row.get(1).unwrap_or_default().to_string(),
                    path: row.text(2, "INFORMATION_SCHEMA.FILES.FILE_NAME")?,
                    undo: row.get(3) == Some("UNDO LOG"),
                })
            })
            .collect()
    }
}
