//! The controller with a simulated clock and a simulated server.

use super::super::baseline::{Class, Counter};
use super::*;
use proptest::prelude::*;

const FLOOR: u64 = Settings::FLOOR.get();
const TICK: Duration = Duration::from_millis(250);

/// A window of a server whose statements take `usual` microseconds, times `slower`.
fn window(count: u64, usual: u64, slower: f64) -> Window {
    let nanos = (count as f64 * usual as f64 * 1000.0 * slower) as u64;
    let class = Class::Statement("statement/sql/update".to_owned());
    Window {
        length: TICK,
        counters: vec![Counter {
            class,
            count,
            nanos,
        }],
        running: Some(4),
    }
}

struct Run {
    controller: Controller,
    now: Duration,
    orders: ReadRate,
    read: u64,
    paused: Duration,
}

impl Run {
    fn new(readers: usize) -> Self {
        let settings = Settings {
            floor: Settings::FLOOR,
            tolerance: 0.1,
            readers,
        };
        let controller = Controller::new(settings, Duration::ZERO);
        Self {
            orders: controller.rate(),
            controller,
            now: Duration::ZERO,
            read: 0,
            paused: Duration::ZERO,
        }
    }

    /// One tick in which the workers read at the current limit, up to `most` bytes per second each,
    /// and the server becomes slower depending on the rate.
    fn tick(&mut self, most: u64, server: impl FnOnce(u64) -> Window) -> u64 {
        let rate = match self.orders {
            ReadRate::Pause => 0,
            ReadRate::Read { rate, readers } => rate.get().min(most.saturating_mul(readers as u64)),
        };
        if rate == 0 {
            self.paused += TICK;
        }
        self.now += TICK;
        self.read += rate / 4;
        self.orders = self.controller.step(self.now, server(rate), rate / 4);
        rate
    }

    fn ticks(&mut self, n: u32, most: u64, server: impl Fn(u64) -> Window) -> Vec<u64> {
        (0..n).map(|_| self.tick(most, &server)).collect()
    }
}

fn slowed(rate: u64, knee: u64) -> f64 {
    1.0 + (rate as f64 - knee as f64).max(0.0) / knee as f64
}

#[test]
fn nothing_is_read_before_the_first_measurement() {
    let mut run = Run::new(2);
    let rates = run.ticks(9, u64::MAX, |_| window(1000, 100, 1.0));
    assert_eq!(rates[..8], [0; 8]);
    assert_eq!(rates[8], 2 * FLOOR);
}

#[test]
fn an_unaffected_server_is_read_at_full_speed() {
    let mut run = Run::new(8);
    let rates = run.ticks(80, 250 * MIB, |_| window(1000, 100, 1.0));
    assert_eq!(rates.last(), Some(&(2000 * MIB)), "all eight of them");
    let ordered = match run.orders {
        ReadRate::Read { rate, .. } => rate.get(),
        ReadRate::Pause => 0,
    };
    assert!(ordered < 5000 * MIB, "the limit is effective: {ordered}");
    assert_eq!(run.controller.summary().backed_off, 0);
}

#[test]
fn an_idle_server_is_read_at_full_speed() {
    let mut run = Run::new(1);
    let rates = run.ticks(60, 800 * MIB, |_| Window {
        length: TICK,
        ..Window::default()
    });
    assert_eq!(rates.last(), Some(&(800 * MIB)));
}

#[test]
fn the_rate_stays_near_the_knee() {
    let knee = 100 * MIB;
    let mut run = Run::new(2);
    run.ticks(60, u64::MAX, |rate| window(1000, 100, slowed(rate, knee)));
    let rates = run.ticks(400, u64::MAX, |rate| window(1000, 100, slowed(rate, knee)));
    let reading: Vec<_> = rates.into_iter().filter(|rate| *rate > 0).collect();
    let mean = reading.iter().sum::<u64>() / reading.len() as u64;
    assert!(
        (70 * MIB..115 * MIB).contains(&mean),
        "{} MiB/s",
        mean / MIB
    );
    let (low, high) = (reading.iter().min().unwrap(), reading.iter().max().unwrap());
    assert!(*low > 50 * MIB && *high < 130 * MIB, "{low} to {high}");
}

#[test]
fn a_slow_server_lowers_the_rate_to_the_floor_and_a_normal_one_raises_it() {
    let mut run = Run::new(2);
    run.ticks(40, 400 * MIB, |_| window(1000, 100, 1.0));
    // Slower only while it is read from: the usual latency doesn't change.
    let rates = run.ticks(120, 400 * MIB, |rate| {
        window(1000, 100, if rate == 0 { 1.0 } else { 3.0 })
    });
    let reading: Vec<_> = rates.iter().copied().filter(|rate| *rate > 0).collect();
    assert!(
        reading[30..].iter().all(|rate| *rate == FLOOR),
        "{reading:?}"
    );
    let backed_off = run.controller.summary().backed_off;
    assert!(backed_off >= 2);
    let rates = run.ticks(240, 400 * MIB, |_| window(1000, 100, 1.0));
    assert!(*rates.iter().max().unwrap() > 60 * MIB, "{rates:?}");
    assert_eq!(run.controller.summary().lowest, FLOOR);
    assert_eq!(run.controller.summary().backed_off, backed_off);
}

#[test]
fn a_server_that_is_slow_for_another_reason_is_not_waited_for() {
    let mut run = Run::new(2);
    run.ticks(40, 400 * MIB, |_| window(1000, 100, 1.0));
    // From now on everything takes twice as long, with and without reads.
    run.ticks(80, 400 * MIB, |_| window(1000, 200, 1.0));
    let rates = run.ticks(200, 400 * MIB, |_| window(1000, 200, 1.0));
    assert!(*rates.iter().max().unwrap() > 50 * MIB, "{rates:?}");
}

#[test]
fn a_stall_cuts_the_rate_at_once_and_one_odd_window_does_not() {
    let mut run = Run::new(2);
    let before = *run
        .ticks(40, 400 * MIB, |_| window(1000, 100, 1.0))
        .last()
        .unwrap();
    let cuts = run.controller.summary().backed_off;
    run.tick(400 * MIB, |_| window(1000, 100, 9.0));
    run.tick(400 * MIB, |_| window(1000, 100, 1.0));
    assert_eq!(run.controller.summary().backed_off, cuts);
    run.tick(400 * MIB, |_| Window {
        length: TICK,
        counters: Vec::new(),
        running: Some(9),
    });
    assert_eq!(run.controller.summary().backed_off, cuts + 1);
    assert!(run.tick(400 * MIB, |_| window(1000, 100, 1.0)) < before);
}

#[test]
fn a_new_load_is_measured_soon() {
    let mut run = Run::new(1);
    run.ticks(12, 400 * MIB, |_| Window {
        length: TICK,
        ..Window::default()
    });
    let looks = run.controller.summary().looks;
    run.ticks(18, 400 * MIB, |_| window(1000, 100, 1.0));
    assert_eq!(run.controller.summary().looks, looks + 1);
}

/// A server that becomes slower above 100 MiB per second, and reports of half a minute that end in
/// each pause.
#[test]
fn a_report_that_ends_in_a_pause_does_not_raise_the_rate() {
    let knee = 100 * MIB;
    for in_windows in [vec![2], vec![3], vec![2, 3]] {
        let mut run = Run::new(2);
        run.ticks(60, u64::MAX, |rate| window(1000, 100, slowed(rate, knee)));
        let paused = std::cell::Cell::new(0);
        let rates = run.ticks(400, u64::MAX, |rate| {
            paused.set(if rate == 0 { paused.get() + 1 } else { 0 });
            let mut window = window(1000, 100, slowed(rate, knee));
            if in_windows.contains(&paused.get()) {
                window.counters[0].nanos += 30_000_000_000;
            }
            window
        });
        let highest = rates.iter().max().unwrap() / MIB;
        assert!(highest < 130, "{highest} MiB/s, {in_windows:?}");
    }
}

/// An idle server runs only the statements of the monitoring, and they are slow.
#[test]
fn a_new_load_is_not_compared_with_the_statements_of_the_monitoring() {
    let knee = 50 * MIB;
    let mut run = Run::new(1);
    let rates = run.ticks(80, 400 * MIB, |_| window(3, 3000, 1.0));
    assert_eq!(rates.iter().max(), Some(&(400 * MIB)));
    let load = |rate| window(1000, 100, slowed(rate, knee));
    let rates = run.ticks(200, 400 * MIB, load);
    let soon = rates.iter().position(|rate| (1..80 * MIB).contains(rate));
    assert!(soon < Some(32), "eight seconds: {rates:?}");
    let highest = rates[40..].iter().max().unwrap() / MIB;
    assert!(highest < 80, "{highest} MiB/s");
    // the latency that was measured under load is still known after a minute without load
    run.ticks(240, 400 * MIB, |_| window(3, 3000, 1.0));
    let rates = run.ticks(40, 400 * MIB, load);
    assert!(*rates[24..].iter().max().unwrap() < 80 * MIB, "{rates:?}");
}

/// One tick of a random server.
#[derive(Debug, Clone)]
enum Tick {
    Window(u64, u64, f64),
    Nothing(u64),
}

fn any_tick() -> impl Strategy<Value = Tick> {
    prop_oneof![
        4 => (0u64..5000, 1u64..100_000, 0.1f64..50.0).prop_map(|(n, usual, s)| Tick::Window(n, usual, s)),
        1 => (0u64..100).prop_map(Tick::Nothing),
    ]
}

fn made(tick: &Tick) -> Window {
    match tick {
        Tick::Window(count, usual, slower) => window(*count, *usual, *slower),
        Tick::Nothing(running) => Window {
            length: TICK,
            counters: Vec::new(),
            running: Some(*running),
        },
    }
}

proptest! {
    /// For any behaviour of the server: the rate is never below the floor, never paused for long,
    /// and the backup ends in bounded time.
    #[test]
    fn a_backup_always_ends(ticks in prop::collection::vec(any_tick(), 100..600), most in FLOOR..2_000_000_000, readers in 1usize..64) {
        let mut run = Run::new(readers);
        let mut pause = 0;
        for tick in &ticks {
            let rate = run.tick(most, |_| made(tick));
            pause = if rate == 0 { pause + 1 } else { 0 };
            prop_assert!(pause <= 8, "paused for {pause} ticks");
            prop_assert!(rate == 0 || rate >= FLOOR);
            if let ReadRate::Read { rate, readers: r } = run.orders {
                prop_assert!(rate >= Settings::FLOOR);
                prop_assert!((1..=readers).contains(&r));
            }
        }
        let seconds = (run.now - FIRST_MEASUREMENT).as_secs_f64();
        prop_assert!(run.read as f64 >= 0.7 * FLOOR as f64 * seconds, "{} in {seconds} s", run.read);
    }

    /// After any history: when the latency of the server is usual again, the rate recovers.
    #[test]
    fn the_rate_recovers(ticks in prop::collection::vec(any_tick(), 0..200), usual in 1u64..100_000) {
        let mut run = Run::new(4);
        for tick in &ticks {
            run.tick(400 * MIB, |_| made(tick));
        }
        let rates = run.ticks(800, 400 * MIB, |_| window(1000, usual, 1.0));
        prop_assert!(*rates.iter().max().unwrap() >= 4 * FLOOR, "{rates:?}");
    }
}
