//! Converts the redo of a killed server to `xtrabackup_logfile` and back. Run it manually, then
//! start the server on the data directory and check that it recovers.
//!
//! `LSNAP_TREE=/path/to/datadir cargo test --lib real_redo -- --ignored --nocapture` replaces
//! `#innodb_redo` of that data directory by the single file that a restore would write.

use super::*;
use crate::innodb::Lsn;
use std::path::PathBuf;

#[test]
#[ignore = "needs LSNAP_TREE, and changes it"]
fn one_file_replaces_the_servers_redo() {
    let dir = PathBuf::from(std::env::var_os("LSNAP_TREE").unwrap()).join("#innodb_redo");
    let mut files: Vec<(FileHeader, Vec<u8>)> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with("_tmp"))
        .map(|path| std::fs::read(path).unwrap())
        .map(|bytes| (FileHeader::parse(&bytes).unwrap(), bytes))
        .collect();
    files.sort_by_key(|(header, _)| header.start_lsn);
    let checkpoint = files
        .iter()
        .flat_map(|(_, bytes)| CHECKPOINTS.map(|at| parse_checkpoint(&bytes[at..at + BLOCK])))
        .flatten()
        .max()
        .unwrap();

    let mut blocks = Vec::new();
    let mut source = None;
    'all: for (header, bytes) in &files {
        for (index, block) in bytes[HEADER..].chunks(BLOCK).enumerate() {
            let lsn = Lsn(header.start_lsn.0 + (index * BLOCK) as u64);
            if lsn < checkpoint.block_start() {
                continue;
            }
            source.get_or_insert(bytes);
            match classify(block, lsn) {
                BlockState::Full | BlockState::Unproven { data_len: 512 } => {
                    blocks.extend_from_slice(block)
                }
                BlockState::Partial { data_len } | BlockState::Unproven { data_len } => {
                    blocks.extend_from_slice(block);
                    println!("ends at {}", lsn.0 + u64::from(data_len));
                    break 'all;
                }
                other => panic!("{other:?} at {lsn}"),
            }
        }
    }
    let creator = files[0].0.creator;
    let logfile = logfile_header(source.unwrap(), checkpoint, "261123 06:51:36").unwrap();
    assert!(FileHeader::parse(&logfile).is_err());
    println!("encryption info: {}", has_encryption_info(&logfile));
    let (header, start) = recovery_header(&logfile, &creator, files[0].0.log_uuid).unwrap();
    assert_eq!(start, checkpoint);

    let mut out = header.to_vec();
    out.extend_from_slice(&blocks);
    out.resize(recovery_file_len(blocks.len() as u64) as usize, 0);
    println!(
        "checkpoint {checkpoint}, {} of {} bytes",
        blocks.len(),
        out.len()
    );
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("#ib_redo0"), out).unwrap();
}
