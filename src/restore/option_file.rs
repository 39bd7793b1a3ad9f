//! `backup-my.cnf` for `xtrabackup --prepare`, which reads this file of the backup like a server
//! reads its option file: with directories, plugins to load and names of files. Only settings of
//! the data's format are kept.

/// The file's name.
pub(super) const NAME: &str = "backup-my.cnf";

/// Settings whose values are words or numbers.
const TAKEN: [&str; 11] = [
    "innodb_checksum_algorithm",
    "innodb_log_checksums",
    "innodb_log_file_size",
    "innodb_log_files_in_group",
    "innodb_page_size",
    "innodb_undo_tablespaces",
    "innodb_redo_log_encrypt",
    "innodb_undo_log_encrypt",
    "server_id",
    "server_uuid",
    "master_key_id",
];

/// Returns an option file with the safe settings of `text`. The files of the system tablespace and
/// the undo tablespaces are in the directory itself.
pub(super) fn safe(text: &str, data_file_path: &str) -> String {
    let mut out =
        format!("[mysqld]\ninnodb_data_file_path={data_file_path}\ninnodb_undo_directory=./\n");
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let (name, value) = (name.trim().replace('-', "_"), value.trim());
        let word = !value.is_empty()
            && value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        let taken = word
            && (TAKEN.contains(&name.as_str())
                || (name == "innodb_buffer_pool_filename"
                    && crate::reader::bare::fault(value).is_none()));
        if taken {
            out += &format!("{name}={value}\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_plugins_and_includes_are_omitted() {
        let text = "[mysqld]\n!include /etc/evil.cnf\ninnodb_page_size=32768\nserver_id = 7\n\
                    innodb_undo_directory=/victim\ninnodb_data_file_path=/victim/x:1M\nplugin_load=evil.so\n\
                    innodb-undo-tablespaces=2\nserver_uuid=a-b\ninnodb_buffer_pool_filename=../../x\n\
                    plugin_dir=/evil\nmaster_key_id=0;\n";
        assert_eq!(
            safe(text, "ibdata1:12M:autoextend"),
            "[mysqld]\ninnodb_data_file_path=ibdata1:12M:autoextend\ninnodb_undo_directory=./\n\
             innodb_page_size=32768\nserver_id=7\ninnodb_undo_tablespaces=2\nserver_uuid=a-b\n"
        );
    }
}
