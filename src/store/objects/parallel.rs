//! Distribution of work over threads, which mostly wait for a store.

use crate::locked::Locked;
use std::sync::Mutex;

/// Calls `work` for every item, on at most `threads` threads and at most one thread an item: a
/// deletion of thousands of small backups would start sixteen threads for each otherwise.
pub(crate) fn each_in_parallel<T: Send>(
    items: impl Iterator<Item = T> + Send,
    threads: usize,
    work: impl Fn(T) + Sync,
) {
    let most = items.size_hint().1.unwrap_or(threads);
    let threads = threads.min(most);
    if threads <= 1 {
        return items.for_each(work);
    }
    let items = Mutex::new(items.fuse());
    let next = || items.locked().next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = next() {
                    work(item);
                }
            });
        }
    });
}

/// Returns the results of `work`, in the order of the items. The first error ends the work.
pub(in crate::store) fn map_in_parallel<T: Send, R: Send, E: Send>(
    items: Vec<T>,
    threads: usize,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.into_iter().map(work).collect();
    }
    let made = Mutex::new((Vec::with_capacity(items.len()), None));
    let lock = || made.locked();
    let wanted = items
        .into_iter()
        .enumerate()
        .take_while(|_| lock().1.is_none());
    each_in_parallel(wanted, threads, |(at, item)| {
        let result = work(item);
        let mut made = lock();
        match result {
            Ok(value) => made.0.push((at, value)),
            Err(error) => drop(made.1.get_or_insert(error)),
        }
    });
    let (mut values, error) = made.unlocked();
    if let Some(error) = error {
        return Err(error);
    }
    values.sort_by_key(|(at, _)| *at);
    Ok(values.into_iter().map(|(_, value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_item_is_processed_on_the_calling_thread() {
        let here = std::thread::current().id();
        let called = Mutex::new(Vec::new());
        let call = |item| {
            called
                .lock()
                .unwrap()
                .push((item, std::thread::current().id()))
        };
        each_in_parallel([5].into_iter(), 16, call);
        assert_eq!(*called.lock().unwrap(), [(5, here)]);
        each_in_parallel(0..40, 16, call);
        assert_eq!(called.lock().unwrap().len(), 41);
    }

    #[test]
    fn results_keep_the_order_and_an_error_ends_the_work() {
        let squares = map_in_parallel((0..500u64).collect(), 8, |n| Ok::<_, ()>(n * n));
        assert_eq!(squares, Ok((0..500).map(|n| n * n).collect()));
        let failed = map_in_parallel((0..500u64).collect(), 8, |n| match n {
            77 => Err(n),
            _ => Ok(n),
        });
        assert_eq!(failed, Err(77));
    }
}
