//! The file of `lsnap verify --checks`: queries with their expected results.

use super::exit::Failure;
use crate::verify::SqlCheck;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The longest file, in bytes.
const MOST: u64 = 1 << 20;

/// Reads a file. A file without a query is refused: nothing would be checked.
pub(super) fn read(path: &Path) -> Result<Vec<SqlCheck>, Failure> {
    let failed = |reason: String| {
        Failure::arguments(format!(
            "the checks in {} can't be used: {reason}",
            path.display()
        ))
    };
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if length.len() > MOST {
        return Err(failed("it is longer than 1 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    parse(&text).map_err(failed)
}

fn parse(text: &str) -> Result<Vec<SqlCheck>, String> {
    let file = DeTable::parse(text).map_err(|error| error.to_string())?;
    let mut checks = Vec::new();
    for (key, value) in file.get_ref() {
        let (key, value) = (key.get_ref(), value.get_ref());
        let DeValue::Array(items) = value else {
            return Err(format!("'{key}' is no list; write [[check]]"));
        };
        if key != "check" {
            return Err(format!("'{key}' is not known; write [[check]]"));
        }
        for item in items.iter() {
            let number = checks.len() + 1;
            let DeValue::Table(table) = item.get_ref() else {
                return Err(format!("check {number} is no table; write [[check]]"));
            };
            checks.push(check(table, number)?);
        }
    }
    if checks.is_empty() {
        return Err("it has no [[check]] with `query` and `expect`".to_owned());
    }
    Ok(checks)
}

fn check(table: &DeTable<'_>, number: usize) -> Result<SqlCheck, String> {
    let (mut name, mut query, mut expect) = (number.to_string(), None, None);
    for (key, value) in table {
        let key = key.get_ref();
        let text = match value.get_ref() {
            DeValue::String(text) => text.clone().into_owned(),
            // A result of one value can be a number.
            DeValue::Integer(value) if key == "expect" => value.to_string(),
            _ => return Err(format!("'{key}' of check {number} is no string")),
        };
        match key.as_ref() {
            "name" => name = text,
            "query" => query = Some(text),
            "expect" => expect = Some(text),
            _ => {
                return Err(format!(
                    "'{key}' of check {number} is not known; expected name, query, expect"
                ));
            }
        }
    }
    let lacks = |key: &str| format!("check {number} has no '{key}'");
    Ok(SqlCheck {
        name,
        query: query.ok_or_else(|| lacks("query"))?,
        expect: expect.ok_or_else(|| lacks("expect"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_with_their_results() {
        let text = "[[check]]\nname = \"orders\"\nquery = \"SELECT COUNT(*) FROM shop.orders\"\nexpect = 17\n\
                    [[check]]\nquery = \"SELECT 1, NULL\"\nexpect = \"1\\tNULL\"\n";
        let checks = parse(text).unwrap();
        let shown: Vec<_> = checks
            .iter()
            .map(|c| (c.name.as_str(), c.expect.as_str()))
            .collect();
        assert_eq!(shown, [("orders", "17"), ("2", "1\tNULL")]);
    }

    #[test]
    fn files_that_would_check_less_than_they_say_are_refused() {
        for text in [
            "",
            "[[checks]]\nquery = \"SELECT 1\"\nexpect = 1\n",
            "[[check]]\nquery = \"SELECT 1\"\n",
            "[[check]]\nquery = \"SELECT 1\"\nexpected = 1\nexpect = 1\n",
            "[[check]]\nquery = \"SELECT 1\"\nexpect = [1]\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
