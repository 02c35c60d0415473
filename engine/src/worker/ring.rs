//! What a runtime of monoio waits with: io_uring where it works, else epoll.
//!
//! Whether it works is tried out once in the life of a process, by a ring that does what the
//! workers' rings will do; a kernel that is known to corrupt or hang is not even tried. A ring
//! belongs to the thread that built it, so [`run`] builds one, runs a future on it and takes
//! it down again, all on the calling thread.
//!
//! monoio 0.2.4 has edges that whoever uses this must know: a task that panics takes its thread
//! with it ([`spawn`] catches), an operation that is dropped may take along what it would have
//! yielded, a task that wakes itself goes on before all others ([`step_aside`] does not), and under
//! [`Driver::Deferred`] nothing completes while a task is ready to go on, so no task may wake itself
//! for ever.

use futures::FutureExt as _;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a ring has to show that it works. It takes a few milliseconds.
const TRIAL: Duration = Duration::from_secs(2);
/// Entries of a ring: what is begun in one turn without an extra call of the kernel.
const ENTRIES: u32 = 1024;
/// What may have completed and is not yet looked at; beyond it the kernel keeps a list.
const COMPLETIONS: u32 = 8192;

/// What a runtime waits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// io_uring, used by one thread, which takes completions when it asks for them
    /// (`SINGLE_ISSUER`, `DEFER_TASKRUN`; Linux 6.1).
    Deferred,
    /// io_uring as older kernels have it.
    Ring,
    /// epoll.
    Epoll,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Deferred => "io_uring, single issuer, deferred",
            Driver::Ring => "io_uring",
            Driver::Epoll => "epoll",
        })
    }
}

/// What was found out about this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probed {
    /// The best that works.
    pub(crate) driver: Driver,
    /// Why it is not better.
    pub(crate) why: Option<String>,
}

/// Finds out what works here: the first time by trying, then from memory.
pub(crate) fn probe() -> &'static Probed {
    static PROBED: OnceLock<Probed> = OnceLock::new();
    PROBED.get_or_init(|| {
        let system = rustix::system::uname();
        let (release, build) = (system.release(), system.version());
        if let Some(why) = known_bad(&release.to_string_lossy(), &build.to_string_lossy()) {
            return Probed { driver: Driver::Epoll, why: Some(why.to_owned()) };
        }
        best(&attempt)
    })
}

/// The best driver that passes its trial.
fn best(attempt: &dyn Fn(Driver) -> Result<(), String>) -> Probed {
    let mut failures = Vec::new();
    for driver in [Driver::Deferred, Driver::Ring] {
        match attempt(driver) {
            Ok(()) => return Probed { driver, why: said(&failures) },
            Err(error) => failures.push(format!("{driver}: {error}")),
        }
    }
    Probed { driver: Driver::Epoll, why: said(&failures) }
}

fn said(failures: &[String]) -> Option<String> {
    (!failures.is_empty()).then(|| failures.join("; "))
}

/// Has a ring do on a thread of its own what it will be used for. One that hangs is left behind.
fn attempt(driver: Driver) -> Result<(), String> {
    let (tell, told) = mpsc::channel();
    let work = move || {
        let done = std::panic::catch_unwind(|| on_ring(driver, |_| exercise()));
        let done = match done {
            Ok(Ok(done)) => done.map_err(|error| error.to_string()),
            Ok(Err((_, error))) => Err(error.map_or_else(String::new, |error| error.to_string())),
            Err(_) => Err("it panicked".to_owned()),
        };
        tell.send(done).unwrap_or_default();
    };
    let started = thread::Builder::new().name("ring-trial".into()).spawn(work);
    started.map_err(|error| error.to_string())?;
    told.recv_timeout(TRIAL).map_err(|_| "it hangs".to_owned())?
}

/// Readiness, a timer, and being woken by another thread.
async fn exercise() -> io::Result<()> {
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    let near = monoio::net::UnixStream::from_std(near)?;
    let (done, waits) = tokio::sync::oneshot::channel();
    let writer = thread::Builder::new().spawn(move || {
        let written = io::Write::write(&mut &far, b"!").map(drop);
        done.send(written).unwrap_or_default();
    })?;
    near.readable(false).await?;
    monoio::time::sleep(Duration::from_millis(1)).await;
    let written = waits.await.map_err(io::Error::other)?;
    drop(writer);
    written
}

/// Runs a future to its end on a runtime of its own: that of this driver, or epoll's if there is
/// no other to be had now. What tasks are left then is dropped with it, or never, if they hold
/// what the runtime is made of: let them end before.
///
/// # Errors
/// No runtime can be built.
pub(crate) fn run<F: Future>(
    driver: Driver,
    begin: impl FnOnce(Driver) -> F,
) -> io::Result<F::Output> {
    let begin = match on_ring(driver, begin) {
        Ok(output) => return Ok(output),
        Err((begin, None)) => begin,
        Err((begin, Some(error))) => {
            tracing::warn!(%error, "no {driver} for this thread: io_uring is not used on it");
            begin
        }
    };
    let builder = RuntimeBuilder::<LegacyDriver>::new().with_entries(ENTRIES);
    let mut runtime = builder.enable_timer().build()?;
    Ok(runtime.block_on(async { begin(Driver::Epoll).await }))
}

/// The same on a ring. Gives back what was to run if the driver is none, or cannot be built.
fn on_ring<F: Future, B: FnOnce(Driver) -> F>(
    driver: Driver,
    begin: B,
) -> Result<F::Output, (B, Option<io::Error>)> {
    let Some(ring) = ring(driver) else { return Err((begin, None)) };
    let builder = RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring);
    match builder.with_entries(ENTRIES).enable_timer().build() {
        Ok(mut runtime) => Ok(runtime.block_on(async { begin(driver).await })),
        Err(error) => Err((begin, Some(error))),
    }
}

/// How a ring is built, if it is one.
fn ring(driver: Driver) -> Option<io_uring::Builder> {
    let mut ring = io_uring::IoUring::builder();
    ring.setup_cqsize(COMPLETIONS);
    match driver {
        Driver::Deferred => drop(ring.setup_single_issuer().setup_defer_taskrun()),
        Driver::Ring => {}
        Driver::Epoll => return None,
    }
    Some(ring)
}

/// Starts a task. A panic ends it and nothing else; what it holds is dropped while panicking.
pub(crate) fn spawn(task: impl Future<Output = ()> + 'static) {
    // No block of ours around it: what a block is given takes its room twice, and is copied twice.
    monoio::spawn(AssertUnwindSafe(task).catch_unwind().map(|_told_by_the_hook| ()));
}

/// Lets all others that are ready go on first. Not to be done again and again without waiting
/// for something else: see the module, and [`Turns`].
pub(crate) async fn step_aside() {
    let mut is_second = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut is_second, true) {
            return std::task::Poll::Ready(());
        }
        // A task that wakes itself comes first again; one that another wakes, last.
        let waker = cx.waker().clone();
        spawn(async move { waker.wake() });
        std::task::Poll::Pending
    })
    .await;
}

/// Ends turns of the loop, again and again, for who has more to do than others should wait for.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Ready whenever the kernel is asked. Until it has answered, no task that waits for it is ready to go
    /// on, so that the runtime looks at everything else that has completed, too.
    always: Option<(monoio::net::UnixStream, std::os::unix::net::UnixStream)>,
}

impl Turns {
    pub(crate) fn new() -> Turns {
        let pair = std::os::unix::net::UnixStream::pair();
        let pair = pair.and_then(|(near, far)| Ok((monoio::net::UnixStream::from_std(near)?, far)));
        Turns { always: pair.ok() }
    }

    /// Lets all others go on first: those that are ready, and those that wait for the kernel.
    pub(crate) async fn end(&self) {
        step_aside().await;
        match &self.always {
            Some((near, _far)) => drop(near.writable(false).await),
            // There was no descriptor for it.
            None => monoio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Kernels on which io_uring does harm that a trial does not show.
struct KnownBad {
    /// Of which version, in the words of `uname -r`.
    release: &'static str,
    /// Which builds of it.
    builds: RangeInclusive<u32>,
    /// Whose, in the words of `uname -v`.
    vendor: &'static str,
    why: &'static str,
}

const KNOWN_BAD: &[KnownBad] = &[KnownBad {
    release: "6.8.0",
    builds: 136..=139,
    vendor: "Ubuntu",
    why: "Ubuntu's kernels 6.8.0-136 to 6.8.0-139 are known for a broken io_uring",
}];

/// Why this kernel's io_uring is not to be used.
fn known_bad(release: &str, version: &str) -> Option<&'static str> {
    let mut parts = release.split('-');
    let (number, build) = (parts.next()?, parts.next()?.parse::<u32>().ok()?);
    let is_it = |bad: &&KnownBad| {
        bad.release == number && bad.builds.contains(&build) && version.contains(bad.vendor)
    };
    KNOWN_BAD.iter().find(is_it).map(|bad| bad.why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Counters;
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Arc;

    #[test]
    fn a_kernel_that_is_known_is_not_tried() {
        let ubuntu = "#140~22.04.1-Ubuntu SMP PREEMPT_DYNAMIC";
        for (release, version, is_bad) in [
            ("6.8.0-136-generic", ubuntu, true),
            ("6.8.0-139-lowlatency", ubuntu, true),
            ("6.8.0-135-generic", ubuntu, false),
            ("6.8.0-140-generic", ubuntu, false),
            ("6.8.0-137-generic", "#1 SMP Debian", false),
            ("6.8.1-137-generic", ubuntu, false),
            ("6.8.0", ubuntu, false),
            ("6.18.44-fc-v669", "#1 SMP", false),
            ("", "", false),
        ] {
            assert_eq!(known_bad(release, version).is_some(), is_bad, "{release}");
        }
    }

    #[test]
    fn the_best_that_works_is_chosen_and_the_rest_is_told() {
        let works = |these: &[Driver]| {
            best(&|driver| match these.contains(&driver) {
                true => Ok(()),
                false => Err("no".to_owned()),
            })
        };
        let (deferred, ring) = (Driver::Deferred, Driver::Ring);
        assert_eq!(works(&[deferred, ring]), Probed { driver: deferred, why: None });
        let second = works(&[ring]);
        let why = "io_uring, single issuer, deferred: no";
        assert_eq!(second, Probed { driver: ring, why: Some(why.to_owned()) });
        let last = works(&[]);
        assert_eq!(last.driver, Driver::Epoll);
        assert_eq!(last.why.as_deref(), Some(&*format!("{why}; io_uring: no")));
    }

    #[test]
    fn what_the_probe_chose_can_be_run() {
        let Probed { driver, .. } = probe();
        assert_eq!(run(*driver, async |_| 7).unwrap(), 7);
    }

    #[test]
    fn who_steps_aside_lets_all_others_go_first() {
        for driver in [probe().driver, Driver::Epoll] {
            let gone = run(driver, async |_| {
                let gone = Rc::new(Cell::new(0));
                for _ in 0..3 {
                    let gone = gone.clone();
                    spawn(async move { gone.set(gone.get() + 1) });
                }
                step_aside().await;
                gone.get()
            });
            assert_eq!(gone.unwrap(), 3);
        }
    }

    #[test]
    fn a_task_that_panics_takes_nobody_along() {
        for driver in [probe().driver, Driver::Epoll] {
            let counters = Arc::new(Counters::default());
            let (doomed, well) = (counters.connection(), counters.connection());
            let done = run(driver, async |_| {
                let done = Rc::new(Cell::new(0));
                spawn(async move {
                    let _doomed = doomed;
                    step_aside().await;
                    panic!("on purpose");
                });
                for _ in 0..2 {
                    let done = done.clone();
                    spawn(async move {
                        step_aside().await;
                        done.set(done.get() + 1);
                    });
                }
                while done.get() < 2 {
                    monoio::time::sleep(Duration::from_millis(1)).await;
                }
                done.get()
            });
            assert_eq!(done.unwrap(), 2);
            let stats = counters.stats(None);
            assert_eq!((stats.accepted, stats.open, stats.panics), (2, 1, 1));
            drop(well);
        }
    }
}
