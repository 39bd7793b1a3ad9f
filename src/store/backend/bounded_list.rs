//! Listings that are certain to end. A store that returns a continuation token twice, the same keys
//! under new tokens, or page after page without a key would make `list` or `prune` run for ever,
//! because `object_store` follows tokens without a check. Here every page is checked.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::{DELIMITER, Path};
use object_store::{Error, ListResult, ObjectMeta, ObjectStore, Result};

use crate::store::backend::decorated::decorate;

/// Permitted number of consecutive pages without a new key. A versioned bucket has such pages where
/// many objects were deleted.
const IDLE_PAGES: u32 = 1000;
/// Largest number of keys in a listing. A backup of 100 TiB has about ten million.
const MOST_KEYS: u64 = 200_000_000;

/// The reason why a listing was aborted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::store) enum Endless {
    #[error("the store gave the same continuation token twice")]
    Token,
    #[error("the store listed {0} twice")]
    Key(String),
    #[error("{IDLE_PAGES} pages in a row had no new key")]
    Idle,
    #[error("it has more than {MOST_KEYS} keys")]
    Keys,
}

impl Endless {
    /// Returns the reason in an error of a store, if the error has one.
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::Generic { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }
}

impl From<Endless> for Error {
    fn from(endless: Endless) -> Self {
        Self::Generic {
            store: "listing",
            source: Box::new(endless),
        }
    }
}

/// Finds a repeated key while remembering one key only. It remembers the keys at positions 1, 2, 4,
/// 8 and so on: in every sequence that repeats, one of them occurs again.
#[derive(Debug, Default)]
pub(in crate::store) struct Repeats {
    remembered: Option<Path>,
    since: u64,
    power: u64,
    count: u64,
}

impl Repeats {
    /// Checks the next key of a listing, in which each key must occur once.
    pub fn next(&mut self, key: &Path) -> Result<(), Endless> {
        if self.remembered.as_ref() == Some(key) {
            return Err(Endless::Key(key.to_string()));
        }
        self.count += 1;
        if self.count > MOST_KEYS {
            return Err(Endless::Keys);
        }
        self.since += 1;
        if self.remembered.is_none() || self.since >= self.power {
            self.remembered = Some(key.clone());
            self.power = self.power.max(1).saturating_mul(2);
            self.since = 0;
        }
        Ok(())
    }
}

/// The state of a listing so far.
#[derive(Debug, Default)]
struct PageChecks {
    tokens: HashSet<blake3::Hash>,
    prefixes: HashSet<Path>,
    repeats: Repeats,
    idle: u32,
}

impl PageChecks {
    fn page(&mut self, page: &PaginatedListResult) -> Result<(), Endless> {
        let mut new = !page.result.objects.is_empty();
        for object in &page.result.objects {
            self.repeats.next(&object.location)?;
        }
        // a store may return the same prefix on two pages
        for prefix in &page.result.common_prefixes {
            new |= self.prefixes.insert(prefix.clone());
        }
        self.idle = if new { 0 } else { self.idle + 1 };
        if self.idle >= IDLE_PAGES {
            return Err(Endless::Idle);
        }
        match &page.page_token {
            Some(token) if !self.tokens.insert(blake3::hash(token.as_bytes())) => {
                Err(Endless::Token)
            }
            _ => Ok(()),
        }
    }
}

/// Returns the pages of a listing, until there are no more or the listing is aborted.
fn pages<S: PaginatedListStore>(
    store: Arc<S>,
    prefix: Option<&Path>,
    delimiter: bool,
) -> BoxStream<'static, Result<ListResult>> {
    let prefix = prefix
        .filter(|prefix| !prefix.as_ref().is_empty())
        .map(|prefix| format!("{prefix}{DELIMITER}"));
    let begin = Some((PageChecks::default(), None));
    stream::try_unfold(begin, move |state| {
        let (store, prefix) = (Arc::clone(&store), prefix.clone());
        async move {
            let Some((mut checks, page_token)) = state else {
                return Ok(None);
            };
            let options = PaginatedListOptions {
                delimiter: delimiter.then_some(DELIMITER.into()),
                page_token,
                ..PaginatedListOptions::default()
            };
            let page = store.list_paginated(prefix.as_deref(), options).await?;
            checks.page(&page)?;
            let next = page.page_token.map(|token| (checks, Some(token)));
            Ok(Some((page.result, next)))
        }
    })
    .boxed()
}

/// A store whose listings are certain to end.
#[derive(Debug)]
pub(super) struct BoundedList<S>(Arc<S>);

impl<S: ObjectStore + PaginatedListStore> BoundedList<S> {
    pub fn over(store: S) -> Arc<dyn ObjectStore> {
        Arc::new(Self(Arc::new(store)))
    }
}

impl<S: fmt::Display> fmt::Display for BoundedList<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

decorate! {
    impl [<S: ObjectStore + PaginatedListStore>] for BoundedList<S>, around 0
    [put_opts put_multipart_opts get_opts get_ranges delete_stream copy_opts rename_opts]
    {
        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            pages(Arc::clone(&self.0), prefix, false)
                .map_ok(|page| stream::iter(page.objects.into_iter().map(Ok)))
                .try_flatten()
                .boxed()
        }

        /// Only for a listing that is resumed. The start within a listing is left to the store.
        fn list_with_offset(
            &self,
            prefix: Option<&Path>,
            offset: &Path,
        ) -> BoxStream<'static, Result<ObjectMeta>> {
            let mut repeats = Repeats::default();
            self.0
                .list_with_offset(prefix, offset)
                .map(move |found| {
                    let found = found?;
                    repeats.next(&found.location)?;
                    Ok(found)
                })
                .boxed()
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            let mut all = ListResult {
                common_prefixes: Vec::new(),
                objects: Vec::new(),
                extensions: object_store::Extensions::new(),
            };
            let mut pages = pages(Arc::clone(&self.0), prefix, true);
            while let Some(page) = pages.try_next().await? {
                all.common_prefixes.extend(page.common_prefixes);
                all.objects.extend(page.objects);
            }
            all.common_prefixes.sort_unstable();
            all.common_prefixes.dedup();
            Ok(all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Returns page `n` of a store and its token.
    type Page = fn(u64) -> (Vec<String>, Option<String>);

    #[derive(Debug)]
    struct Paged {
        page: Page,
        asked: AtomicU64,
    }

    #[async_trait]
    impl PaginatedListStore for Paged {
        async fn list_paginated(
            &self,
            _: Option<&str>,
            options: PaginatedListOptions,
        ) -> Result<PaginatedListResult> {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst);
            let (keys, page_token) = (self.page)(asked);
            let meta = |key: &String| ObjectMeta {
                location: Path::from(key.as_str()),
                last_modified: chrono::Utc::now(),
                size: 1,
                e_tag: None,
                version: None,
            };
            let (objects, common_prefixes) = match options.delimiter {
                None => (keys.iter().map(meta).collect(), Vec::new()),
                Some(_) => (
                    Vec::new(),
                    keys.iter().map(|k| Path::from(k.as_str())).collect(),
                ),
            };
            let result = ListResult {
                common_prefixes,
                objects,
                extensions: object_store::Extensions::new(),
            };
            Ok(PaginatedListResult { result, page_token })
        }
    }

    fn listed(page: Page, delimiter: bool) -> Result<Vec<ListResult>> {
        let asked = AtomicU64::new(0);
        let store = Arc::new(Paged { page, asked });
        futures::executor::block_on(pages(store, None, delimiter).try_collect())
    }

    fn keys(n: u64) -> Vec<String> {
        (0..3).map(|i| format!("k{:09}", n * 3 + i)).collect()
    }

    #[test]
    fn an_endless_listing_ends_with_an_error() {
        let endless: [(Page, &str); 4] = [
            (|n| (keys(n), Some("t".to_owned())), "token twice"),
            (|n| (keys(0), Some(format!("t{n}"))), "listed k"),
            (|n| (keys(n), Some(format!("t{}", n % 500))), "token twice"),
            (|n| (Vec::new(), Some(format!("t{n}"))), "no new key"),
        ];
        for (page, expected) in endless {
            let error = listed(page, false).unwrap_err();
            let why = Endless::of(&error).unwrap().to_string();
            assert!(why.contains(expected), "{why}");
        }
        // the listing of one directory level
        let error = listed(|n| (keys(0), Some(format!("t{n}"))), true).unwrap_err();
        assert_eq!(Endless::of(&error), Some(&Endless::Idle));
    }

    #[test]
    fn a_long_listing_with_empty_pages_is_complete() {
        let page: Page = |n| match n {
            0..50 => (keys(n), Some(format!("t{n}"))),
            50..1000 => (Vec::new(), Some(format!("t{n}"))),
            _ => (keys(n), None),
        };
        let pages = listed(page, false).unwrap();
        let objects: usize = pages.iter().map(|p| p.objects.len()).sum();
        assert_eq!(objects, 51 * 3);
    }

    #[test]
    fn every_cycle_is_found() {
        for (before, cycle) in [(0, 1), (0, 7), (5, 1), (100, 64), (3, 1000)] {
            let mut repeats = Repeats::default();
            let mut at = 0u64;
            let found = loop {
                let n = if at < before {
                    at
                } else {
                    before + (at - before) % cycle
                };
                at += 1;
                if repeats.next(&Path::from(format!("k{n}"))).is_err() {
                    break at;
                }
                assert!(at < 4 * (before + cycle) + 4, "{before} {cycle}");
            };
            assert!(found > cycle);
        }
        let mut repeats = Repeats::default();
        for n in 0..10_000 {
            repeats.next(&Path::from(format!("k{n}"))).unwrap();
        }
    }
}
