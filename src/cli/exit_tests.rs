//! The documented exit codes of errors.

use super::*;
use crate::error_kind::ErrorKind;
use crate::innodb::InnodbError;
use crate::manifest::BackupName;
use crate::store::BackupFault;
use crate::store::DeletionFault;
use crate::store::{LeaseFault, RequestFault};
use crate::verify::Outcome;

fn code(failure: impl Into<Failure>) -> u8 {
    failure.into().code as u8
}

fn name() -> BackupName {
    BackupName::parse("db-2026-01-01-00:00:00-full").unwrap()
}

fn request(kind: RequestFault) -> StoreError {
    StoreError::Request {
        action: "reading",
        key: "key".into(),
        kind,
        what: "what".into(),
    }
}

fn short() -> InnodbError {
    InnodbError::Short {
        what: "a page",
        found: 1,
        expected: 2,
    }
}

#[test]
fn requests_have_the_codes_of_their_faults() {
    assert_eq!(code(request(RequestFault::Denied)), 12);
    assert_eq!(code(request(RequestFault::Expired)), 12);
    assert_eq!(code(request(RequestFault::NoBucket)), 10);
    for kind in [
        RequestFault::Tls,
        RequestFault::ClockSkew,
        RequestFault::WrongScheme,
        RequestFault::NotAStore,
        RequestFault::TooLarge,
        RequestFault::Unsupported,
        RequestFault::Unreachable,
        RequestFault::TimedOut,
        RequestFault::Busy,
    ] {
        assert_eq!(code(request(kind)), 1, "{kind:?}");
    }
}

#[test]
fn leases_have_the_codes_of_their_faults() {
    let lease = |fault: LeaseFault| code(StoreError::from(fault));
    let (chain, key) = (name(), String::from("key"));
    assert_eq!(lease(LeaseFault::Busy { chain }), 11);
    assert_eq!(lease(LeaseFault::Closed { chain: name() }), 14);
    let what = "what".into();
    assert_eq!(
        lease(LeaseFault::Unreadable {
            key: key.clone(),
            what
        }),
        13
    );
    assert_eq!(lease(LeaseFault::Overwrites { key }), 1);
}

#[test]
fn a_code_does_not_depend_on_the_job_with_the_error() {
    let denied = || request(RequestFault::Denied);
    assert_eq!(code(BackupError::from(denied())), 12);
    assert_eq!(code(RestoreError::from(denied())), 12);
    assert_eq!(code(VerifyError::from(denied())), 12);
    assert_eq!(code(VerifyError::from(RestoreError::from(denied()))), 12);
    assert_eq!(code(ConsolidateError::from(denied())), 12);
    assert_eq!(code(ReadError::from(denied())), 12);
    let cause = Box::new(CloudError::from(denied()));
    assert_eq!(code(CloudError::TakenBack { cause }), 12);
    let not_deleted = StoreError::NotDeleted {
        name: name(),
        left: Vec::new(),
        reason: "reason".into(),
        cause: Some(Box::new(denied())),
    };
    assert_eq!(code(not_deleted), 12);
}

#[test]
fn wrong_names_and_options_are_wrong_arguments() {
    let bad_name = || BackupName::parse("../x").unwrap_err();
    assert_eq!(code(bad_name()), 2);
    assert_eq!(code(StoreError::from(bad_name())), 2);
    assert_eq!(code(CloudError::from(StoreError::from(bad_name()))), 2);
    let ambiguous = StoreError::Backup(BackupFault::Ambiguous {
        text: "x".into(),
        count: 2,
        names: "a, b".into(),
    });
    assert_eq!(code(ambiguous), 2);
    let file = || "x.cnf".into();
    assert_eq!(
        code(ServerError::OptionFile {
            file: file(),
            line: 1,
            problem: "y".into(),
        }),
        2
    );
    assert_eq!(
        code(ServerError::OptionFileRead {
            file: file(),
            source: std::io::ErrorKind::NotFound.into(),
        }),
        2
    );
    assert_eq!(
        code(ServerError::BadOption {
            name: "--port".into(),
            origin: "x".into(),
            problem: "y".into(),
        }),
        2
    );
    assert_eq!(
        code(ServerError::PasswordFile {
            file: file(),
            problem: "y".into(),
        }),
        2
    );
}

#[test]
fn a_backup_that_is_needed_has_one_code() {
    let cloud = CloudError::Needed {
        name: name(),
        needed_by: "x".into(),
    };
    let store = StoreError::Deletion(DeletionFault::Needed {
        name: name(),
        needed_by: name(),
    });
    assert_eq!((code(cloud), code(store)), (11, 11));
}

#[test]
fn errors_whose_code_is_not_that_of_their_kind_keep_it() {
    assert_eq!(code(BackupError::from(short())), 1);
    let innodb = |what: &str| ReadError::Innodb {
        what: what.into(),
        source: short(),
    };
    assert_eq!(code(innodb("x")), 1);
    assert_eq!(code(RestoreError::from(innodb("x"))), 1);
    let prompt = || ServerError::Prompt("no terminal".into());
    assert_eq!(prompt().kind(), ErrorKind::Arguments);
    assert_eq!(code(prompt()), 1);
    let refused = ConsolidateError::Refused {
        backup: "x".into(),
        why: "y".into(),
    };
    assert_eq!(code(refused), 2);
}

#[test]
fn codes_in_documents_are_numbers() {
    let text = serde_json::to_string(&ExitCode::NotVerified);
    assert_eq!(text.unwrap(), "15");
    assert_eq!(ExitCode::from(Outcome::Sound), ExitCode::Success);
    assert_eq!(ExitCode::from(Outcome::Empty) as u8, 10);
    assert_eq!(ExitCode::from(Outcome::Key) as u8, 12);
}
