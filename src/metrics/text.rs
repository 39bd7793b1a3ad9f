//! Samples, and the text format of Prometheus (version 0.0.4) as far as lsnap writes it.

use super::families::{FAMILIES, Family};
use std::fmt::Write as _;

/// The value of a metric with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) family: &'static Family,
    /// In the order of the family, without empty values.
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}

impl Sample {
    /// Creates a sample. Labels of other metrics, and those without a value, are left out.
    pub(crate) fn new(
        family: &'static Family,
        labels: &[(&'static str, &str)],
        value: f64,
    ) -> Self {
        let of = |name: &&'static str| {
            let (_, value) = labels.iter().find(|(label, _)| label == name)?;
            (!value.is_empty()).then(|| (*name, (*value).to_owned()))
        };
        Self {
            family,
            labels: family.labels.iter().filter_map(of).collect(),
            value,
        }
    }

    pub(crate) fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(label, _)| *label == name);
        found.map_or("", |(_, value)| value)
    }

    /// Returns whether both are values of one series.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.family.name == other.family.name && self.labels == other.labels
    }

    fn line(&self) -> String {
        let labels = self.labels.iter();
        let labels: Vec<String> = labels
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            some => format!("{{{}}}", some.join(",")),
        };
        format!("{}{labels} {}\n", self.family.name, self.value)
    }
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

/// The first line of the file for node_exporter.
pub(crate) const FILE_HEAD: &str = "# Written by lsnap after each job, see docs/reference/metrics.md. A job changes only its own values.\n";

/// Formats samples: family after family, each with its help and its type. `head` is the first line.
pub(crate) fn format(head: &str, samples: &[Sample]) -> String {
    let mut out = head.to_owned();
    for family in FAMILIES {
        let of = samples.iter().filter(|s| s.family.name == family.name);
        let mut lines: Vec<String> = of.map(Sample::line).collect();
        lines.sort();
        if !lines.is_empty() {
            let (name, kind) = (family.name, family.kind);
            let _ = write!(out, "# HELP {name} {}\n# TYPE {name} {kind}\n", family.help);
            out.extend(lines);
        }
    }
    out
}

/// Parses a file that lsnap wrote. Metrics of other versions of lsnap are left out.
///
/// # Errors
/// A line that lsnap doesn't write, with its number.
pub(crate) fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || format!("line {} is not a metric of lsnap", at + 1);
        let (name, labels, value) = parts(line).ok_or_else(wrong)?;
        if !name.starts_with("lsnap_") {
            return Err(wrong());
        }
        let Some(family) = FAMILIES.iter().find(|family| family.name == name) else {
            continue;
        };
        let labels: Vec<(&'static str, &str)> = family
            .labels
            .iter()
            .filter_map(|label| {
                let (_, value) = labels.iter().find(|(found, _)| found == label)?;
                Some((*label, value.as_str()))
            })
            .collect();
        samples.push(Sample::new(family, &labels, value));
    }
    Ok(samples)
}

/// The labels of a line, with their values.
type Labels = Vec<(String, String)>;

/// Returns the name, the labels and the value of a line.
fn parts(line: &str) -> Option<(&str, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after.strip_prefix('}')?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    Some((name, labels, value))
}

/// Returns the value up to the closing quote, and the rest.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::families::{BUILD, RUN_SUCCESS, RUNS};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_format_is_that_of_prometheus() {
        let labels = [
            ("command", "backup"),
            ("cluster", "a\"\\\n"),
            ("level", ""),
            ("x", "y"),
        ];
        let samples = [
            Sample::new(&RUN_SUCCESS, &labels, 1.0),
            Sample::new(&BUILD, &[], 1_796_066_981.0),
        ];
        let text = format("", &samples);
        assert_eq!(
            text,
            "# HELP lsnap_build_info Version of lsnap that wrote the file last.\n\
             # TYPE lsnap_build_info gauge\nlsnap_build_info 1796066981\n\
             # HELP lsnap_run_success 1 if the last run succeeded, else 0.\n\
             # TYPE lsnap_run_success gauge\n\
             lsnap_run_success{command=\"backup\",cluster=\"a\\\"\\\\\\n\"} 1\n"
        );
    }

    #[test]
    fn files_of_others_are_refused() {
        for text in [
            "node_x 1\n",
            "lsnap_run_success\n",
            "garbage",
            "lsnap_run_success{a=\"b} 1\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert_eq!(
            parse("# c\n\nlsnap_of_another_version{a=\"b\"} 1\n").unwrap(),
            []
        );
    }

    proptest! {
        #[test]
        fn a_file_is_read_as_it_was_written(value in "[ -~\n\\\\\"ü]{1,9}", n in 0_u64..1 << 53) {
            let n = n as f64;
            let sample = Sample::new(&RUNS, &[("repository", &value), ("result", "x,y} 1")], n);
            let samples = [sample, Sample::new(&BUILD, &[("version", "1")], n / 7.0)];
            let mut read = parse(&format("", &samples)).unwrap();
            read.reverse();
            prop_assert_eq!(read, samples);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[lsnap_{}=\",\\\\ 0-9\n]{0,60}") {
            let _ = parse(&text);
        }
    }
}
