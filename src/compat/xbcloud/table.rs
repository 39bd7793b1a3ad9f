//! The options of xbcloud: which there are, their arguments, and what lsnap does with each.
//!
//! Facts: the documentation of Percona XtraBackup 8.0, 8.4 and 9.x ("xbcloud options").

use crate::compat::options::{Kind, State, options};

const SWITCH: Kind = Kind::Switch;
const TEXT: Kind = Kind::Text;
const SECRET: Kind = Kind::Secret;
const DONE: State = State::Done;
/// The reason for the options of Swift.
pub(super) const NO_SWIFT: &str = "lsnap does not support Swift";
const SWIFT: State = State::Refused(NO_SWIFT);

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

options! {
    Help = "help" '?', Flag, SWITCH, Client, DONE,
        "", "Print this text.";
    Version = "version" 'V', Flag, SWITCH, Client, DONE,
        "", "Print the version.";
    Storage = "storage", Required, Kind::Word(&["SWIFT", "S3", "GOOGLE", "AZURE"]), Client, DONE,
        "SWIFT", "The kind of storage: S3, GOOGLE or AZURE. SWIFT is refused. A URI has priority.";
    Parallel = "parallel", Required, number(1, 1024), Client, DONE,
        "1", "The number of objects that are transferred concurrently, for each stream.";
    FifoStreams = "fifo-streams", Required, number(1, 1024), Client, DONE,
        "1", "The number of FIFOs that carry the stream; 1 is standard input or output.";
    FifoDir = "fifo-dir", Required, TEXT, Client, DONE,
        "", "The directory of the FIFOs.";
    FifoTimeout = "fifo-timeout", Required, number(1, 31_536_000), Client, DONE,
        "60", "Seconds to wait for the program on the other side of the FIFOs.";
    Timeout = "timeout", Required, number(0, 31_536_000), Client, DONE,
        "120", "The longest time for a request in seconds; 0 is a day.";
    MaxRetries = "max-retries", Required, number(1, u64::MAX), Client, DONE,
        "as many as fit into 10 minutes", "The number of retries of a request.";
    MaxBackoff = "max-backoff", Required, number(1, u64::MAX), Client, DONE,
        "5000", "The longest wait between two attempts in milliseconds.";
    CurlRetriableErrors = "curl-retriable-errors", Required, TEXT, Client,
        State::Accepted("every request is retried that got no connection, lost it, or timed out"),
        "", "Codes of curl's errors that are retried.";
    HttpRetriableErrors = "http-retriable-errors", Required, TEXT, Client,
        State::Accepted("every request is retried after the status 408, 429, 500 and higher except 501; other statuses are final"),
        "", "Statuses of HTTP that are retried.";
    Md5 = "md5", Flag, SWITCH, Client, DONE,
        "", "With put: store the MD5 digests of the objects in NAME.md5.";
    Cacert = "cacert", Required, TEXT, Client, DONE,
        "", "A file of certificates to trust, in addition to the system's.";
    Header = "header", Required, SECRET, Client, DONE,
        "", "A header of all requests, as NAME: VALUE. Can be given several times; S3 and Google only.";
    Insecure = "insecure", Flag, SWITCH, Client, DONE,
        "", "Accept any certificate of the server.";
    Verbose = "verbose", Flag, SWITCH, Client, State::Accepted("requests are not traced, because they contain secrets"),
        "", "Trace the requests.";
    S3Region = "s3-region", Required, TEXT, Client, DONE,
        "us-east-1", "The region.";
    S3Endpoint = "s3-endpoint", Required, TEXT, Client, DONE,
        "Amazon", "The server, with or without https:// or http://.";
    S3AccessKey = "s3-access-key", Required, SECRET, Client, DONE,
        "", "The access key.";
    S3SecretKey = "s3-secret-key", Required, SECRET, Client, DONE,
        "", "The secret key.";
    S3SessionToken = "s3-session-token", Required, SECRET, Client, DONE,
        "", "The token of a session.";
    S3StorageClass = "s3-storage-class", Required, TEXT, Client, DONE,
        "", "The storage class of the objects.";
    S3Bucket = "s3-bucket", Required, TEXT, Client, DONE,
        "", "The bucket. put creates a missing one.";
    S3BucketLookup = "s3-bucket-lookup", Required, Kind::Word(&["AUTO", "DNS", "PATH"]), Client, DONE,
        "AUTO", "The position of the bucket: in the host name (DNS) or in the path. AUTO: the path if there is an endpoint.";
    S3ApiVersion = "s3-api-version", Required, Kind::Word(&["AUTO", "2", "4"]), Client, DONE,
        "AUTO", "The version of the signature. 2 is refused.";
    GoogleRegion = "google-region", Required, TEXT, Client, DONE,
        "us-east-1", "The region.";
    GoogleEndpoint = "google-endpoint", Required, TEXT, Client, DONE,
        "storage.googleapis.com", "The server.";
    GoogleAccessKey = "google-access-key", Required, SECRET, Client, DONE,
        "", "The access id of an HMAC key.";
    GoogleSecretKey = "google-secret-key", Required, SECRET, Client, DONE,
        "", "The secret of an HMAC key.";
    GoogleSessionToken = "google-session-token", Required, SECRET, Client, DONE,
        "", "The token of a session.";
    GoogleStorageClass = "google-storage-class", Required, TEXT, Client, DONE,
        "", "The storage class of the objects.";
    GoogleBucket = "google-bucket", Required, TEXT, Client, DONE,
        "", "The bucket. put creates a missing one.";
    AzureStorageAccount = "azure-storage-account", Required, SECRET, Client, DONE,
        "", "The storage account.";
    AzureContainerName = "azure-container-name", Required, TEXT, Client, DONE,
        "", "The container. It must exist.";
    AzureAccessKey = "azure-access-key", Required, SECRET, Client, DONE,
        "", "The key of the account.";
    AzureDevelopmentStorage = "azure-development-storage", Flag, SWITCH, Client, DONE,
        "", "Use the emulator Azurite at 127.0.0.1:10000 with its own account.";
    AzureEndpoint = "azure-endpoint", Required, TEXT, Client, DONE,
        "Azure", "The server.";
    AzureTierClass = "azure-tier-class", Required, TEXT, Client,
        State::Accepted("objects get the access tier of the account; change it with a rule of the account"),
        "", "The access tier of the objects.";
    SwiftAuthUrl = "swift-auth-url", Required, TEXT, Client, SWIFT,
        "", "The URL of the authentication.";
    SwiftAuthVersion = "swift-auth-version", Required, TEXT, Client, SWIFT,
        "", "The version of the authentication.";
    SwiftStorageUrl = "swift-storage-url", Required, TEXT, Client, SWIFT,
        "", "The URL of the storage.";
    SwiftContainer = "swift-container", Required, TEXT, Client, SWIFT,
        "", "The container.";
    SwiftUser = "swift-user", Required, TEXT, Client, SWIFT,
        "", "The user.";
    SwiftUserId = "swift-user-id", Required, TEXT, Client, SWIFT,
        "", "The id of the user.";
    SwiftKey = "swift-key", Required, SECRET, Client, SWIFT,
        "", "The key of the user.";
    SwiftPassword = "swift-password", Required, SECRET, Client, SWIFT,
        "", "The password of the user.";
    SwiftTenant = "swift-tenant", Required, SECRET, Client, SWIFT,
        "", "The tenant.";
    SwiftTenantId = "swift-tenant-id", Required, SECRET, Client, SWIFT,
        "", "The id of the tenant.";
    SwiftProject = "swift-project", Required, TEXT, Client, SWIFT,
        "", "The project.";
    SwiftProjectId = "swift-project-id", Required, TEXT, Client, SWIFT,
        "", "The id of the project.";
    SwiftDomain = "swift-domain", Required, TEXT, Client, SWIFT,
        "", "The domain of the user.";
    SwiftDomainId = "swift-domain-id", Required, TEXT, Client, SWIFT,
        "", "The id of the domain of the user.";
    SwiftProjectDomain = "swift-project-domain", Required, TEXT, Client, SWIFT,
        "", "The domain of the project.";
    SwiftProjectDomainId = "swift-project-domain-id", Required, TEXT, Client, SWIFT,
        "", "The id of the domain of the project.";
    SwiftRegion = "swift-region", Required, TEXT, Client, SWIFT,
        "", "The region.";
}
