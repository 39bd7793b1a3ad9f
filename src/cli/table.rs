//! Tables that fit the terminal.
//!
//! If a table is wider than the terminal, its columns are dropped, the least important first. If the columns that are
//! never dropped don't fit either, the first cell of each row has a line of its own, and the other cells are on the
//! next line. A cell is never shortened, because names are copied from tables. On a pipe, the width is unlimited.

use super::output;
use std::io::IsTerminal as _;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// The lowest number is dropped first; `None`: never.
    pub(super) importance: Option<u8>,
}

/// Distance of columns.
const GAP: usize = 2;

/// Returns the width of the terminal; `None` on a pipe, or if it is unknown.
pub(super) fn width() -> Option<usize> {
    let stdout = output::terminal();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Lays out rows below their titles, in at most `width` characters if the columns allow it.
pub(super) fn laid_out(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> String {
    let titles = columns.iter().map(|column| column.title.to_owned());
    let mut all: Vec<Vec<&str>> = Vec::with_capacity(rows.len() + 1);
    let titles: Vec<String> = titles.collect();
    all.push(titles.iter().map(String::as_str).collect());
    all.extend(
        rows.iter()
            .map(|row| row.iter().map(String::as_str).collect()),
    );
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            let cells = all.iter().filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let room = width.unwrap_or(usize::MAX);
    let kept = fitting((0..columns.len()).collect(), columns, &widths, room);
    let is_narrow = total(&kept, &widths) > room;
    // If the first cell has a line of its own, there is room for more columns.
    let below = fitting(
        (1..columns.len()).collect(),
        columns,
        &widths,
        room.saturating_sub(GAP),
    );
    let lay = |row: &Vec<&str>| {
        if is_narrow {
            let first = row.first().unwrap_or(&"");
            format!("{first}\n  {}", line(row, &below, &widths))
        } else {
            line(row, &kept, &widths)
        }
    };
    all.iter().map(lay).collect()
}

/// Drops the least important columns until the others have room.
fn fitting(mut kept: Vec<usize>, columns: &[Column], widths: &[usize], room: usize) -> Vec<usize> {
    while total(&kept, widths) > room {
        let droppable = kept.iter().filter_map(|at| {
            let importance = columns.get(*at)?.importance?;
            Some((importance, *at))
        });
        let Some((_, least)) = droppable.min() else {
            break;
        };
        kept.retain(|at| *at != least);
    }
    kept
}

/// Returns the width of these columns.
fn total(kept: &[usize], widths: &[usize]) -> usize {
    let each = kept.iter().filter_map(|at| widths.get(*at));
    each.sum::<usize>() + GAP * kept.len().saturating_sub(1)
}

fn line(row: &[&str], kept: &[usize], widths: &[usize]) -> String {
    let mut out = String::new();
    for at in kept {
        let (cell, width) = (row.get(*at).unwrap_or(&""), widths.get(*at).unwrap_or(&0));
        out += &format!("{cell:<width$}  ");
    }
    format!("{}\n", out.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column {
            title: "BACKUP",
            importance: None,
        },
        Column {
            title: "STATE",
            importance: None,
        },
        Column {
            title: "GTID",
            importance: Some(1),
        },
        Column {
            title: "AGE",
            importance: Some(2),
        },
    ];

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        vec![
            row([
                "shop-2026-11-30-02:00:00-full",
                "finished, pinned",
                "uuid:1-1000000",
                "3 h",
            ]),
            row([
                "└─ shop-2026-11-30-03:00:00-incr",
                "BASE MISSING",
                "-",
                "2 h",
            ]),
        ]
    }

    #[test]
    fn every_width_is_kept() {
        let (columns, rows) = (COLUMNS, rows());
        let whole = laid_out(columns, &rows, None);
        let widest = whole.lines().map(|line| line.chars().count()).max();
        for width in 40..100 {
            let table = laid_out(columns, &rows, Some(width));
            for line in table.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            for cell in [
                "BACKUP",
                "STATE",
                &rows[0][0],
                &rows[1][0],
                "finished, pinned",
                "BASE MISSING",
            ] {
                assert!(table.contains(cell), "{width}: {cell}: {table}");
            }
            assert_eq!(table == whole, Some(width) >= widest, "{width}: {table}");
        }
    }

    #[test]
    fn columns_are_dropped_by_importance() {
        let has = |width: usize| {
            let table = laid_out(COLUMNS, &rows(), Some(width));
            (
                table.contains("GTID"),
                table.contains("AGE"),
                table.lines().count(),
            )
        };
        assert_eq!(has(71), (true, true, 3));
        assert_eq!(has(70), (false, true, 3));
        assert_eq!(has(54), (false, false, 3));
        assert_eq!(
            has(49),
            (true, true, 6),
            "over two lines there is room again"
        );
        assert_eq!(has(38), (false, true, 6));
    }
}
