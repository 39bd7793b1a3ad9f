//! Parses `innodb_data_file_path`: `ibdata1:12M;/disk2/ibdata2:12M:autoextend:max:50G`. In a backup
//! every file has its base name. Sizes and attributes are checked where they are used: at the
//! survey, and before a recovering server gets them.

/// Returns the files in their order: for each its base name, and the text after the first colon (""
/// without a colon).
pub(crate) fn data_files(data_file_path: &str) -> impl Iterator<Item = (&str, &str)> {
    data_file_path.split(';').map(|file| {
        let (path, rest) = file.split_once(':').unwrap_or((file, ""));
        (path.rsplit('/').next().unwrap_or(path), rest)
    })
}

/// Returns the same value with the base name of every file.
pub(crate) fn base_names(data_file_path: &str) -> String {
    let file = |(name, rest): (&str, &str)| match rest {
        "" => name.to_owned(),
        rest => format!("{name}:{rest}"),
    };
    let files: Vec<_> = data_files(data_file_path).map(file).collect();
    files.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_names_of_the_system_tablespace_files() {
        assert_eq!(
            base_names("/a/b/ibdata1:12M;c/ibdata2:12M:autoextend"),
            "ibdata1:12M;ibdata2:12M:autoextend"
        );
        let files: Vec<_> = data_files("ibdata1:12M;/fast/ibdata2:50M:autoextend;c").collect();
        let expected = [("ibdata1", "12M"), ("ibdata2", "50M:autoextend"), ("c", "")];
        assert_eq!(files, expected);
    }
}
