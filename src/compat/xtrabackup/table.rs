//! The options of xtrabackup: which there are, their arguments, and what lsnap does with each.
//!
//! Facts: the option reference of the documentation of Percona XtraBackup 8.0, 8.4 and 9.x, and
//! `docs/xtrabackup.md`.

use crate::compat::options::{Kind, State, options};

const SWITCH: Kind = Kind::Switch;
const TEXT: Kind = Kind::Text;
const SECRET: Kind = Kind::Secret;
const ALGORITHM: Kind = Kind::Word(&["AES128", "AES192", "AES256"]);
const COMPRESSION: Kind = Kind::Word(&["zstd", "lz4", "quicklz"]);
const STREAM: Kind = Kind::Word(&["xbstream"]);
const LOCK: Kind = Kind::Word(&["ON", "OFF", "REDUCED", "1", "0", "TRUE", "FALSE"]);
const DONE: State = State::Done;

/// Of the options that give xtrabackup the keys of encrypted tablespaces.
const KEYRING: State = State::Accepted(
    "encrypted tablespaces are copied as they are, and no key is read; the server that starts on them needs the keyring of the source",
);
/// Of the options that make a backup independent of the keyring.
const NO_KEYS: State = State::Refused(
    "the keys of tablespaces are not read, so they can't be stored under another key; leave it out, and give the \
     restoring server the keyring of the source",
);
/// Of the option that makes the restored files independent of the keyring.
const NO_NEW_KEY: State = State::Refused(
    "the backup has no xtrabackup_keys; leave it out, start the server with the keyring of the source, then run ALTER \
     INSTANCE ROTATE INNODB MASTER KEY",
);

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

options! {
    // Modes.
    Backup = "backup", Flag, SWITCH, Client, DONE,
        "", "Back up the server.";
    Prepare = "prepare", Flag, SWITCH, Client, DONE,
        "", "Make a backup ready for a server: merge an incremental, apply redo.";
    CopyBack = "copy-back", Flag, SWITCH, Client, DONE,
        "", "Copy a prepared backup into the data directory.";
    MoveBack = "move-back", Flag, SWITCH, Client, DONE,
        "", "Move a prepared backup into the data directory.";
    Decompress = "decompress", Flag, SWITCH, Client, DONE,
        "", "Decompress the files of a backup in place.";
    Decrypt = "decrypt", Required, ALGORITHM, Client, DONE,
        "", "Decrypt the files of a backup in place: AES128, AES192 or AES256.";
    Stats = "stats", Flag, SWITCH, Client, State::Refused("xtrabackup 8 does not have it any more"),
        "", "Statistics of index pages.";
    PrintParam = "print-param", Flag, SWITCH, Client, DONE,
        "", "Print the options of the server as an option file.";
    Version = "version" 'v', Flag, SWITCH, Client, DONE,
        "", "Print the version.";
    Help = "help" '?', Flag, SWITCH, Client, DONE,
        "", "Print this text.";
    // Places.
    TargetDir = "target-dir", Required, TEXT, Client, DONE,
        "./xtrabackup_backupfiles/", "The directory of the backup.";
    Datadir = "datadir" 'h', Required, TEXT, Server, DONE,
        "", "The data directory.";
    Stream = "stream", Optional, STREAM, Client, DONE,
        "", "Write the backup to standard output as an xbstream.";
    ExtraLsndir = "extra-lsndir", Required, TEXT, Client, DONE,
        "", "Write xtrabackup_checkpoints and xtrabackup_info into this directory too.";
    Tmpdir = "tmpdir" 't', Required, TEXT, Server, DONE,
        "TMPDIR", "The directory for redo that is not written yet.";
    FifoStreams = "fifo-streams", Required, number(1, 1024), Client, DONE,
        "1", "The number of FIFOs that carry the stream.";
    FifoDir = "fifo-dir", Required, TEXT, Client, DONE,
        "", "The directory of the FIFOs.";
    FifoTimeout = "fifo-timeout", Required, number(1, 31_536_000), Client, DONE,
        "60", "Seconds to wait for the reader of the FIFOs.";
    // Incrementals.
    IncrementalBasedir = "incremental-basedir", Required, TEXT, Client, DONE,
        "", "Back up what changed since the backup in this directory.";
    IncrementalLsn = "incremental-lsn", Required, TEXT, Client, DONE,
        "", "Back up what changed since this LSN.";
    IncrementalDir = "incremental-dir", Required, TEXT, Client, DONE,
        "", "With --prepare: the incremental backup to apply.";
    IncrementalHistoryName = "incremental-history-name", Required, TEXT, Client, DONE,
        "", "Back up what changed since the newest backup with this name in the history.";
    IncrementalHistoryUuid = "incremental-history-uuid", Required, TEXT, Client, DONE,
        "", "Back up what changed since the backup with this UUID in the history.";
    IncrementalForceScan = "incremental-force-scan", Flag, SWITCH, Client, DONE,
        "", "Read all pages, without page tracking.";
    PageTracking = "page-tracking", Flag, SWITCH, Client, DONE,
        "", "Use the page tracking of component_mysqlbackup.";
    ApplyLogOnly = "apply-log-only", Flag, SWITCH, Client, DONE,
        "", "With --prepare: leave out the rollback, because incremental backups follow.";
    // The server.
    User = "user" 'u', Required, TEXT, Client, DONE,
        "", "The account.";
    Password = "password" 'p', Optional, SECRET, Client, DONE,
        "", "Its password; without a value it is asked for.";
    Host = "host" 'H', Required, TEXT, Client, DONE,
        "", "The host of the server.";
    Port = "port" 'P', Required, number(0, 65535), Client, DONE,
        "", "The port of the server.";
    Socket = "socket" 'S', Required, TEXT, Client, DONE,
        "", "The socket of the server.";
    Protocol = "protocol", Required, TEXT, Client, DONE,
        "", "The protocol: tcp or socket.";
    SslMode = "ssl-mode", Required, TEXT, Client, DONE,
        "", "The mode of TLS.";
    SslCa = "ssl-ca", Required, TEXT, Client, DONE,
        "", "The certificates of the authorities.";
    SslCapath = "ssl-capath", Required, TEXT, Client, State::Refused("a directory of certificates is not read; give the file with --ssl-ca"),
        "", "A directory with certificates of authorities.";
    SslCert = "ssl-cert", Required, TEXT, Client, DONE,
        "", "The certificate of the client.";
    SslKey = "ssl-key", Required, TEXT, Client, DONE,
        "", "The key of the client's certificate.";
    SslCipher = "ssl-cipher", Required, TEXT, Client, State::Accepted("the ciphers of TLS 1.2 and 1.3 that rustls has are offered"),
        "", "The permitted ciphers.";
    SslCrl = "ssl-crl", Required, TEXT, Client, State::Refused("revocation lists are not read"),
        "", "A file with revoked certificates.";
    SslCrlpath = "ssl-crlpath", Required, TEXT, Client, State::Refused("revocation lists are not read"),
        "", "A directory with revoked certificates.";
    SslFipsMode = "ssl-fips-mode", Required, TEXT, Client, State::Refused("there is no FIPS mode"),
        "", "The FIPS mode.";
    TlsVersion = "tls-version", Required, TEXT, Client, State::Accepted("TLS 1.2 and 1.3 are offered"),
        "", "The permitted versions of TLS.";
    TlsCiphersuites = "tls-ciphersuites", Required, TEXT, Client, State::Accepted("the cipher suites of TLS 1.3 that rustls has are offered"),
        "", "The permitted cipher suites of TLS 1.3.";
    ServerPublicKeyPath = "server-public-key-path", Required, TEXT, Client, DONE,
        "", "The server's RSA key.";
    GetServerPublicKey = "get-server-public-key", Flag, SWITCH, Client, DONE,
        "", "Ask the server for its RSA key.";
    // Compression and encryption.
    Compress = "compress", Optional, COMPRESSION, Client, DONE,
        "zstd", "Compress each file: zstd or lz4.";
    CompressThreads = "compress-threads", Required, number(1, u64::MAX), Client, State::Accepted("each copying thread compresses what it reads"),
        "1", "Threads for the compression.";
    CompressChunkSize = "compress-chunk-size", Required, number(4096, u64::MAX), Client, State::Accepted("the frames have the size that is fastest to restore"),
        "64K", "The size of the compression's working buffer.";
    CompressZstdLevel = "compress-zstd-level", Required, number(1, 19), Client, DONE,
        "1", "The level of zstd.";
    DecompressThreads = "decompress-threads", Required, number(1, u64::MAX), Client, State::Accepted("--parallel has the number of files that are decompressed at a time"),
        "", "Threads for the decompression.";
    Encrypt = "encrypt", Required, ALGORITHM, Client, DONE,
        "", "Encrypt each file: AES128, AES192 or AES256.";
    EncryptKey = "encrypt-key", Required, SECRET, Client, DONE,
        "", "The key. Others can see it in the list of processes; --encrypt-key-file is safer.";
    EncryptKeyFile = "encrypt-key-file", Required, TEXT, Client, DONE,
        "", "The file with the key.";
    EncryptThreads = "encrypt-threads", Required, number(1, u64::MAX), Client, State::Accepted("each copying thread encrypts what it reads"),
        "1", "Threads for the encryption.";
    EncryptChunkSize = "encrypt-chunk-size", Required, number(1024, u64::MAX), Client, State::Accepted("chunks have 64 KiB"),
        "64K", "The size of the encryption's chunks.";
    RemoveOriginal = "remove-original", Flag, SWITCH, Client, DONE,
        "", "Remove the .zst, .lz4 and .xbcrypt files after they were unpacked.";
    // Speed and load.
    Parallel = "parallel", Required, number(1, 1024), Client, DONE,
        "1", "The number of threads that copy files.";
    Throttle = "throttle", Required, number(0, u64::MAX), Client, DONE,
        "0", "Limit of reading and writing, in chunks of 10 MB a second.";
    UseMemory = "use-memory", Required, number(1048576, u64::MAX), Client, DONE,
        "100M", "The memory for applying redo.";
    UseFreeMemoryPct = "use-free-memory-pct", Required, number(0, 100), Client, State::Accepted("the memory of a recovery follows the size of the redo log"),
        "0", "The part of the free memory for applying redo.";
    EstimateMemory = "estimate-memory", Flag, SWITCH, Client, State::Accepted("the memory of a recovery follows the size of the redo log"),
        "", "Estimate the memory that --prepare needs.";
    RebuildThreads = "rebuild-threads", Required, number(1, u64::MAX), Client, State::Accepted("no index is rebuilt"),
        "1", "Threads that rebuild indexes.";
    ReadBufferSize = "read-buffer-size", Required, number(4096, u64::MAX), Client, State::Accepted("reads have the size that is fastest"),
        "10M", "The size of reads.";
    LogCopyInterval = "log-copy-interval", Required, number(0, u64::MAX), Client, State::Accepted("redo is followed as it is written"),
        "1000", "Milliseconds between two reads of the redo log.";
    OpenFilesLimit = "open-files-limit", Required, number(0, u64::MAX), Server, State::Accepted("open files are bounded by the number of threads"),
        "", "The limit of open files.";
    CloseFiles = "close-files", Flag, SWITCH, Client, State::Accepted("files are closed after they were copied"),
        "", "Close files that are not in use.";
    Rsync = "rsync", Flag, SWITCH, Client, State::Accepted("few files are copied under the lock anyway"),
        "", "Copy files of other engines with rsync.";
    // Locks.
    LockDdl = "lock-ddl", Optional, LOCK, Client, DONE,
        "ON", "The instance lock: always held from the start, whatever the value.";
    LockDdlTimeout = "lock-ddl-timeout", Required, number(1, 31536000), Client, DONE,
        "300", "Seconds to wait for the instance lock.";
    LockDdlPerTable = "lock-ddl-per-table", Flag, SWITCH, Client, State::Accepted("the instance lock is stronger"),
        "", "Lock each table while it is copied.";
    NoLock = "no-lock", Flag, SWITCH, Client, State::Accepted("tables are locked only where their engine needs it"),
        "", "Take no lock of tables.";
    NoBackupLocks = "no-backup-locks", Flag, SWITCH, Client, State::Accepted("the instance lock is needed for a consistent backup"),
        "", "Take no backup lock.";
    BackupLockTimeout = "backup-lock-timeout", Required, number(1, 31536000), Client, State::Accepted("--lock-ddl-timeout has the limit"),
        "300", "Seconds to wait for a backup lock.";
    BackupLockRetryCount = "backup-lock-retry-count", Required, number(0, u64::MAX), Client, State::Accepted("one attempt with its time limit is made"),
        "0", "Attempts to get a backup lock.";
    FtwrlWaitTimeout = "ftwrl-wait-timeout", Required, number(0, 31_536_000), Client, State::Accepted("lsnap waits at most --lock-ddl-timeout for its locks and kills no query"),
        "0", "Seconds to wait for long queries before the lock.";
    FtwrlWaitThreshold = "ftwrl-wait-threshold", Required, number(0, u64::MAX), Client, State::Accepted("lsnap waits at most --lock-ddl-timeout for its locks and kills no query"),
        "60", "Seconds after which a query is long.";
    FtwrlWaitQueryType = "ftwrl-wait-query-type", Required, TEXT, Client, State::Accepted("lsnap waits at most --lock-ddl-timeout for its locks and kills no query"),
        "all", "The kind of queries to wait for.";
    KillLongQueriesTimeout = "kill-long-queries-timeout", Required, number(0, 31_536_000), Client, State::Accepted("lsnap kills no query"),
        "0", "Seconds until queries that block the lock are killed.";
    KillLongQueryType = "kill-long-query-type", Required, TEXT, Client, State::Accepted("lsnap kills no query"),
        "select", "The kind of queries to kill.";
    DebugSleepBeforeUnlock = "debug-sleep-before-unlock", Required, number(0, u64::MAX), Client, State::Accepted("it is for tests of xtrabackup"),
        "0", "Seconds to sleep before the unlock.";
    // Replicas and clusters.
    SlaveInfo = "slave-info", Flag, SWITCH, Client, DONE,
        "", "Write xtrabackup_slave_info: the position of a replica in its source.";
    SafeSlaveBackup = "safe-slave-backup", Flag, SWITCH, Client, DONE,
        "", "Stop the applier of a replica until it has no open temporary tables.";
    SafeSlaveBackupTimeout = "safe-slave-backup-timeout", Required, number(0, 31_536_000), Client, DONE,
        "300", "Seconds to wait for that.";
    GaleraInfo = "galera-info", Flag, SWITCH, Client, DONE,
        "", "Write xtrabackup_galera_info, if the server is a member of a Galera cluster.";
    // What is backed up.
    Databases = "databases", Required, TEXT, Client, DONE,
        "", "Back up only these databases and tables.";
    DatabasesExclude = "databases-exclude", Required, TEXT, Client, DONE,
        "", "Leave out these databases and tables.";
    DatabasesFile = "databases-file", Required, TEXT, Client, DONE,
        "", "A file with databases and tables to back up.";
    Tables = "tables", Required, TEXT, Client, DONE,
        "", "Back up only tables whose name matches the expression.";
    TablesExclude = "tables-exclude", Required, TEXT, Client, DONE,
        "", "Leave out tables whose name matches the expression.";
    TablesFile = "tables-file", Required, TEXT, Client, DONE,
        "", "A file with names of tables to back up.";
    TablesCompatibilityCheck = "tables-compatibility-check", Flag, SWITCH, Client, State::Accepted("tables that cannot be backed up are always an error"),
        "ON", "Warn of tables of engines that are not backed up.";
    Export = "export", Flag, SWITCH, Client, DONE,
        "", "With --prepare: write .cfg files for IMPORT TABLESPACE.";
    DumpInnodbBufferPool = "dump-innodb-buffer-pool", Flag, SWITCH, Client, DONE,
        "", "Let the server dump its buffer pool first.";
    DumpInnodbBufferPoolTimeout = "dump-innodb-buffer-pool-timeout", Required, number(1, 31_536_000), Client, DONE,
        "10", "Seconds to wait for the dump.";
    DumpInnodbBufferPoolPct = "dump-innodb-buffer-pool-pct", Required, number(0, 100), Client, DONE,
        "0", "The part of the pages to dump, in percent; 0: as the server is configured.";
    History = "history", Optional, TEXT, Client, DONE,
        "", "Record the backup in PERCONA_SCHEMA.xtrabackup_history.";
    // Checks.
    CheckPrivileges = "check-privileges", Flag, SWITCH, Client, State::Accepted("privileges are always checked"),
        "", "Check the privileges of the account.";
    NoVersionCheck = "no-version-check", Flag, SWITCH, Client, State::Accepted("no version is looked up in the network"),
        "", "Do not look for newer versions.";
    VersionCheck = "version-check", Flag, SWITCH, Client, State::Accepted("no version is looked up in the network"),
        "", "Look for newer versions.";
    NoServerVersionCheck = "no-server-version-check", Flag, SWITCH, Client, DONE,
        "", "Back up a server of an untested version.";
    Strict = "strict", Flag, SWITCH, Client, DONE,
        "ON", "Refuse unknown options.";
    // Restore.
    ForceNonEmptyDirectories = "force-non-empty-directories", Flag, SWITCH, Client, DONE,
        "", "Copy into directories that are not empty; files are never overwritten.";
    RollbackPreparedTrx = "rollback-prepared-trx", Flag, SWITCH, Client, DONE,
        "", "With --prepare: roll back prepared XA transactions.";
    ToArchivedLsn = "to-archived-lsn", Required, number(0, u64::MAX), Client, State::Refused("archived redo logs are not read"),
        "", "Apply redo up to this LSN.";
    // Encrypted tablespaces.
    KeyringFileData = "keyring-file-data", Required, TEXT, Server, DONE,
        "", "The file of the keyring.";
    ComponentKeyringConfig = "component-keyring-config", Required, TEXT, Client, DONE,
        "", "The configuration of the keyring component.";
    KeyringVaultConfig = "keyring-vault-config", Required, TEXT, Server, KEYRING,
        "", "The configuration of the keyring in Vault.";
    ServerId = "server-id", Required, number(0, u64::MAX), Server, State::Accepted("keys are not looked up by it"),
        "", "The server's id.";
    TransitionKey = "transition-key", Optional, SECRET, Client, NO_KEYS,
        "", "A passphrase for the keys of tablespaces.";
    GenerateTransitionKey = "generate-transition-key", Flag, SWITCH, Client, NO_KEYS,
        "", "Make a passphrase and store it in the keyring.";
    GenerateNewMasterKey = "generate-new-master-key", Flag, SWITCH, Client, NO_NEW_KEY,
        "", "Make a new master key.";
    XtrabackupPluginDir = "xtrabackup-plugin-dir", Required, TEXT, Client, State::Accepted("no plugin is loaded: the server has its own"),
        "", "The directory of plugins.";
    PluginLoad = "plugin-load", Required, TEXT, Server, State::Accepted("no plugin is loaded"),
        "", "Plugins to load.";
    EarlyPluginLoad = "early-plugin-load", Required, TEXT, Server, State::Accepted("no plugin is loaded"),
        "", "Plugins to load early.";
    // Redo.
    RedoLogArchDir = "redo-log-arch-dir", Required, TEXT, Client, State::Accepted("redo is read from the data directory"),
        "", "A directory for redo log archiving.";
    RegisterRedoLogConsumer = "register-redo-log-consumer", Flag, SWITCH, Client, State::Accepted("redo is followed without it, and a loss is found"),
        "", "Let the server keep redo until it was copied.";
    // Other.
    LogBin = "log-bin", Optional, TEXT, Server, DONE,
        "", "With --copy-back and --move-back: the base name of the binary logs.";
    LogBinIndex = "log-bin-index", Required, TEXT, Server, DONE,
        "", "With --copy-back and --move-back: the index of the binary logs.";
    CoreFile = "core-file", Flag, SWITCH, Server, State::Accepted("no core file is written"),
        "", "Write a core file.";
    DefaultsGroup = "defaults-group", Required, TEXT, Client, DONE,
        "mysqld", "One more group of option files for the server's options.";
    LoginPath = "login-path", Required, TEXT, Client, DONE,
        "", "A login path in .mylogin.cnf.";
    InnodbDataHomeDir = "innodb-data-home-dir", Required, TEXT, Server, DONE,
        "", "With --copy-back and --move-back: the directory of the system tablespace.";
    InnodbDataFilePath = "innodb-data-file-path", Required, TEXT, Server, DONE,
        "", "With --copy-back and --move-back: the files of the system tablespace.";
    InnodbLogGroupHomeDir = "innodb-log-group-home-dir", Required, TEXT, Server, DONE,
        "", "With --copy-back and --move-back: the directory of the redo log.";
    InnodbUndoDirectory = "innodb-undo-directory", Required, TEXT, Server, DONE,
        "", "With --copy-back and --move-back: the directory of undo tablespaces.";
    InnodbPageSize = "innodb-page-size", Required, TEXT, Server, State::Accepted("the files have it"),
        "", "The page size.";
    InnodbChecksumAlgorithm = "innodb-checksum-algorithm", Required, TEXT, Server, State::Accepted("the server's value is used"),
        "", "The algorithm of page checksums.";
    InnodbBufferPoolFilename = "innodb-buffer-pool-filename", Required, TEXT, Server, State::Accepted("the server's value is used"),
        "", "The file of the buffer pool's dump.";
    InnodbBufferPoolSize = "innodb-buffer-pool-size", Required, TEXT, Server, State::Accepted("no buffer pool is needed for a backup"),
        "", "The size of the buffer pool.";
    InnodbFlushMethod = "innodb-flush-method", Required, TEXT, Server, State::Accepted("files are read with O_DIRECT where that is possible"),
        "", "The way to read and write files.";
    InnodbFilePerTable = "innodb-file-per-table", Flag, SWITCH, Server, State::Accepted("the files are found on the disk"),
        "", "Whether each table has a file.";
    InnodbLogFileSize = "innodb-log-file-size", Required, TEXT, Server, State::Accepted("the redo log is found on the disk"),
        "", "The size of a redo log file.";
    InnodbLogFilesInGroup = "innodb-log-files-in-group", Required, TEXT, Server, State::Accepted("the redo log is found on the disk"),
        "", "The number of redo log files.";
    InnodbLogBufferSize = "innodb-log-buffer-size", Required, TEXT, Server, State::Accepted("no buffer of redo is needed"),
        "", "The size of the redo log buffer.";
    InnodbRedoLogCapacity = "innodb-redo-log-capacity", Required, TEXT, Server, State::Accepted("the redo log is found on the disk"),
        "", "The capacity of the redo log.";
    InnodbOpenFiles = "innodb-open-files", Required, TEXT, Server, State::Accepted("open files are bounded by the number of threads"),
        "", "The limit of open files.";
    InnodbIoCapacity = "innodb-io-capacity", Required, TEXT, Server, State::Accepted("--throttle limits the backup"),
        "", "The rate of background work.";
    InnodbReadIoThreads = "innodb-read-io-threads", Required, TEXT, Server, State::Accepted("--parallel has the number of threads"),
        "", "Threads that read.";
    InnodbWriteIoThreads = "innodb-write-io-threads", Required, TEXT, Server, State::Accepted("--parallel has the number of threads"),
        "", "Threads that write.";
    InnodbUseNativeAio = "innodb-use-native-aio", Flag, SWITCH, Server, State::Accepted("reads need no asynchronous requests"),
        "", "Use asynchronous requests.";
    InnodbDoublewrite = "innodb-doublewrite", Optional, TEXT, Server, State::Accepted("no page is written to the server"),
        "", "The doublewrite buffer.";
    InnodbForceRecovery = "innodb-force-recovery", Required, number(0, 6), Server, State::Refused("a backup that needs it is damaged"),
        "0", "Recover in spite of damage.";
    LowerCaseTableNames = "lower-case-table-names", Required, number(0, 2), Server, DONE,
        "", "The way that names of tables are stored.";
}
